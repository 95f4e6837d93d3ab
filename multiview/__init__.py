"""Contrastive multiview coding: any views, N encoders, one contrast graph whose every edge runs its own objective."""
