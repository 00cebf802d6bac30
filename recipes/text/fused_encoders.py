"""AG News topics with a linear layer on the frozen features of two encoders, side by side.

accelerate launch scripts/run_recipe.py text/fused_encoders
"""

from hf_transfer import FrozenFeatures, FusedBackbone, LinearHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="linear layer on the frozen features of two encoders, MiniLM and MPNet",
    data=TextClassification("fancyzhx/ag_news", text="text", validation=0.1, test="test"),
    backbone=FusedBackbone(
        parts={
            "source": TextBackbone("sentence-transformers/all-MiniLM-L6-v2"),
            "target": TextBackbone("sentence-transformers/all-mpnet-base-v2"),  # its own tokenizer, 768 wide
        },
        fusion="concat",
    ),
    head=LinearHead(),
    strategy=FrozenFeatures(),
)
