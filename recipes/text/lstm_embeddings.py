"""SST-2 sentiment with a BiLSTM on BERT's input embeddings alone: the tutorials' baseline.

accelerate launch scripts/run_recipe.py text/lstm_embeddings
"""

from hf_transfer import FullFineTune, LSTMHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="2-layer BiLSTM on BERT's input embeddings alone, without the encoder",
    # The labels of its own test split are hidden (all -1), so its validation split is the test.
    data=TextClassification("stanfordnlp/sst2", text="sentence", validation=0.1, test="validation"),
    backbone=TextBackbone("google-bert/bert-base-uncased", max_length=128, embeddings_only=True),
    head=LSTMHead(hidden_size=256, num_layers=2, dropout=0.5),
    strategy=FullFineTune(),  # the embeddings move too, as they do in the tutorials
    training=dict(learning_rate=1e-3, num_train_epochs=5, per_device_train_batch_size=64),
)
