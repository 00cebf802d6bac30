"""Training a backbone before its transfer, on rows that need no labels: masked language modelling, SimCLR."""
