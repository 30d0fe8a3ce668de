"""Parts that all docks share: the tool page, forms, tasks, layers, previews and the session."""
