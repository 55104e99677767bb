"""Live results: planes leave a running pipeline and grow into stacks in a viewer.

`publisher` sends, `receiver` takes; `messages` and ``docs/messaging.md`` say what goes over the wire between them.
"""
