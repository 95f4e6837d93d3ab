"""Studies: one setting against changed ones, over paired seeds, and what the differences say.

`plan` says which variants there are, `pool` and `worker` train them in processes side by side,
`outcome` reads what a run measured, `verdict` compares, `table` and `page` show it.
"""
