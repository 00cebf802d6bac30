"""AG News topics with a linear layer on frozen MiniLM sentence embeddings.

accelerate launch scripts/run_recipe.py text/linear_probe
"""

from hf_transfer import FrozenFeatures, LinearHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="linear layer on frozen, pooled MiniLM features",
    data=TextClassification("fancyzhx/ag_news", text="text", validation=0.1, test="test"),
    backbone=TextBackbone("sentence-transformers/all-MiniLM-L6-v2"),  # pooling: what the checkpoint says, the mean
    head=LinearHead(),  # solved by L-BFGS, the L2 penalty chosen on the validation rows: no step size, no epochs
    strategy=FrozenFeatures(),
)
