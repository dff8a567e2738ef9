"""Where the library plugs into others: sdpa (`aule.install`), transformers."""
