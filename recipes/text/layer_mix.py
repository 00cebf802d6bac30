"""SST-2 sentiment with a linear layer on a learned mix of all hidden layers of a frozen BERT.

accelerate launch scripts/run_recipe.py text/layer_mix
"""

from hf_transfer import FrozenFeatures, LayerFusion, LinearHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="linear layer on a learned mix of all hidden layers of a frozen encoder",
    # The labels of its own test split are hidden (all -1), so its validation split is the test.
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation"),
    backbone=TextBackbone("google-bert/bert-base-uncased", max_length=128, fusion=LayerFusion("scalar_mix")),
    head=LinearHead(),  # by gradient descent: with the weights of the mix it is no linear problem
    strategy=FrozenFeatures(),
    training=dict(learning_rate=1e-2, num_train_epochs=20, per_device_train_batch_size=64),
)
