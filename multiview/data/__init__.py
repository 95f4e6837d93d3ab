"""What is stored of a sample and where it comes from: the contracts `source`, `modality`, `values`.

Every wing below may import these three files. A sample passes the wings in this order: `sources`
(which use `listing`, `columns` and `files`), `write`, `store`, `load`.
"""
