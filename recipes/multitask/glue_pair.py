"""SST-2 sentiment and STS-B similarity in one DistilBERT with two heads, everything trained.

accelerate launch scripts/run_recipe.py multitask/glue_pair
"""

from hf_transfer import FullFineTune, NativeHead, Recipe, TaskMixture, TextBackbone, TextClassification

GLUE = dict(validation=0.1, test="validation")  # GLUE keeps the labels of its test rows to itself
SST2 = TextClassification("nyu-mll/glue:sst2", text="sentence", **GLUE)
STSB = TextClassification(
    "nyu-mll/glue:stsb", text="sentence1", text_pair="sentence2", problem_type="regression", **GLUE
)
RECIPE = Recipe(
    summary="two GLUE tasks, a class and a number, in one DistilBERT with two stock heads",
    # SST-2 has twelve times the rows of STS-B: with temperature 2 it gets three times the steps.
    data=TaskMixture(tasks={"sst2": SST2, "stsb": STSB}, sampling="temperature", temperature=2.0),
    backbone=TextBackbone("distilbert/distilbert-base-uncased", max_length=128),
    head=NativeHead(),
    strategy=FullFineTune(),
    training=dict(learning_rate=5e-5, num_train_epochs=3, per_device_train_batch_size=16, warmup_steps=0.06),
)
