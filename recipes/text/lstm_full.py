"""IMDb sentiment with a BiLSTM over DistilBERT token states, the encoder trained too.

accelerate launch scripts/run_recipe.py text/lstm_full
"""

from hf_transfer import FullFineTune, LSTMHead, Recipe, TextBackbone, TextClassification

RECIPE = Recipe(
    summary="2-layer BiLSTM head on DistilBERT token states, encoder trained too",
    data=TextClassification("stanfordnlp/imdb", text="text", validation=0.1, test="test"),
    backbone=TextBackbone("distilbert/distilbert-base-uncased", max_length=256),
    head=LSTMHead(hidden_size=256, num_layers=2, dropout=0.2),
    strategy=FullFineTune(),
    # The top of the usual range for encoders, because the new LSTM has further to go; warmup keeps the encoder safe.
    training=dict(learning_rate=5e-5, num_train_epochs=3, per_device_train_batch_size=32, warmup_steps=0.1),
)
