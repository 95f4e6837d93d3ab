"""A view of a portable model in the formats of other programs: ONNX, torch.export, timm, hf.

Every file is compared with the model before it gets its name.
"""
