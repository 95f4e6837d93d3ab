"""CMC's memory bank in a plain loop."""

import torch

import multiview as mv

photos, depths = torch.randn(64, 12), torch.randn(64, 9)
photo_net, depth_net = torch.nn.Linear(12, 16), torch.nn.Linear(9, 16)
pair = mv.PairLoss(mv.CMC(), samples=64, dim=16)
optimizer = torch.optim.SGD([*photo_net.parameters(), *depth_net.parameters(), *pair.parameters()], lr=0.1)

for _ in range(2):
    for index in torch.utils.data.DataLoader(range(64), batch_size=16, shuffle=True):
        loss = pair(photo_net(photos[index]), depth_net(depths[index]), index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pair.update()
