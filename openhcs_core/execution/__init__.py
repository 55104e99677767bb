"""Pipelines on another machine: a server beside the data, and a client that feels like running here."""
