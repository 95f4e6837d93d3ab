"""One page of one or several runs: from run folders, read without PyTorch, to one HTML file.

It enters by `multiview.report.page.write_page`. Templates, style, script and plotly.js are in
`page/`.
"""
