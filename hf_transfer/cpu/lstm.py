"""Training of the LSTM head on a CPU: rows of all lengths at once, without padding, each direction on its own threads.

oneDNN's LSTM wants rows of one length, and PyTorch's own one for packed rows adds up the gradient of its weights at
every step. Here rows are sorted by length and laid out step by step, as `torch.nn.utils.rnn.PackedSequence` does: a
step computes the rows that are not over yet, and what needs no earlier step (the products with the inputs, the
gradient of the weights) is one product over all tokens. The directions do not wait for each other. The sums are those
of the padded batch.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class Steps(NamedTuple):
    """The tokens of a batch in the order of the steps that compute them.

    Args:
        rows (`torch.Tensor`): numbers of the rows, longest first.
        sizes (`list[int]`): rows that take part in each step; never more than in the one before.
        places (`torch.Tensor` of shape `(tokens,)`): where each token stands in the padded batch, flattened.
        mirrored (`torch.Tensor` of shape `(tokens,)`): the token as far from its row's end as this one is from its
            start.
        last (`torch.Tensor` of shape `(rows,)`): the last token of each row, longest row first.
    """

    rows: torch.Tensor
    sizes: list[int]
    places: torch.Tensor
    mirrored: torch.Tensor
    last: torch.Tensor


def steps_of(lengths: torch.Tensor, longest: int) -> Steps:
    """Plan the steps for rows of `lengths` tokens, at least one each, padded on the right to `longest`."""
    lengths, rows = lengths.sort(descending=True, stable=True)
    step, rank = (torch.arange(longest)[:, None] < lengths).nonzero(as_tuple=True)
    sizes = torch.bincount(step)
    starts = sizes.cumsum(0) - sizes
    return Steps(
        rows=rows,
        sizes=sizes.tolist(),
        places=rows[rank] * longest + step,
        mirrored=starts[lengths[rank] - 1 - step] + rank,
        last=starts[lengths - 1] + torch.arange(len(lengths)),
    )


def lstm_logits(head, tokens: torch.Tensor, lengths: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what an [`LSTMHead`] returns in training.

    Args:
        tokens (`torch.Tensor` of shape `(batch, length, width)`): token states.
        lengths (`torch.Tensor` of shape `(batch,)`): tokens of each row, at least 1.
        dtype (`torch.dtype`): of the products; everything else is computed in float32.
    """
    steps = steps_of(lengths, tokens.shape[1])
    with torch.autocast("cpu", enabled=False):
        states = tokens.flatten(0, 1).index_select(0, steps.places).float()
        for number, forward in enumerate(head.forward_layers):
            if number:
                states = head.dropout(states)
            ways = [forward, *([head.backward_layers[number]] if len(head.backward_layers) else [])]
            weights = [getattr(way, name) for way in ways for name in WEIGHTS]
            states = Layer.apply(states, steps, dtype, *weights)
        size = head.forward_layers[0].hidden_size
        # The backward direction ends at the first token, of which there is one for each row.
        ends = torch.cat([states[steps.last, :size], states[: len(lengths), size:]], dim=-1)
        return head.out(head.dropout(ends[steps.rows.argsort()]))


def product_dtype() -> torch.dtype:
    """Return what autocast asks products to be computed in, where this CPU gains from it."""
    asked = torch.is_autocast_enabled("cpu") and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.get_autocast_dtype("cpu") if asked else torch.float32


class Layer(torch.autograd.Function):
    """A layer of one or two directions; states at each token, in the order of [`Steps`], side by side."""

    @staticmethod
    def forward(ctx, states, steps: Steps, dtype: torch.dtype, *weights):
        inputs = states.to(dtype)
        ways = [weights[start : start + len(WEIGHTS)] for start in range(0, len(weights), len(WEIGHTS))]
        ctx.steps = steps
        ctx.runs = [
            Direction(inputs if not number else inputs[steps.mirrored], way, steps.sizes, dtype)
            for number, way in enumerate(ways)
        ]
        outputs = _each(Direction.run, ctx.runs)
        return torch.cat([out if not number else out[steps.mirrored] for number, out in enumerate(outputs)], dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        mirrored = ctx.steps.mirrored
        parts = [
            part if not number else part[mirrored] for number, part in enumerate(gradient.chunk(len(ctx.runs), dim=-1))
        ]
        work = list(zip(ctx.runs, parts, strict=True))
        found = _each(lambda one: one[0].back(one[1], ctx.needs_input_grad[0]), work)
        of_states = None
        if ctx.needs_input_grad[0]:
            of_states = sum(one[0] if not number else one[0][mirrored] for number, one in enumerate(found))
        return of_states, None, None, *(gradient for one in found for gradient in one[1:])


class Direction:
    """One direction of a layer (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    i, f, o = sigmoid(W x + U h + b), g = tanh(W x + U h + b), c' = f c + i g, h' = o tanh(c').

    Args:
        inputs (`torch.Tensor` of shape `(tokens, width)`): in the order of the steps.
        weights: those of `nn.LSTM`, gates in the order i, f, g, o.
        sizes (`Sequence[int]`): rows in each step.
        dtype (`torch.dtype`): of the products.
    """

    def __init__(
        self, inputs: torch.Tensor, weights: Sequence[torch.Tensor], sizes: Sequence[int], dtype: torch.dtype
    ):
        into, between, bias, more = (weight.detach() for weight in weights)
        self.inputs, self.sizes, self.dtype = inputs, sizes, dtype
        self.into, self.between, self.bias = into.to(dtype), between.to(dtype), bias + more
        self.size = between.shape[1]

    def run(self) -> torch.Tensor:
        """Return the hidden states, of shape `(tokens, size)`."""
        size, count = self.size, len(self.inputs)
        between = self.between.t()
        self.gates = self._add_product(self.bias.expand(count, -1).contiguous(), self.inputs, self.into.t())
        self.cells, self.hidden, self.squashed = (self.bias.new_empty(count, size) for _ in range(3))
        before, start = None, 0
        for rows in self.sizes:
            now = slice(start, start + rows)
            gates, cells = self.gates[now], self.cells[now]
            if before is not None:
                self._add_product(gates, self.hidden[before : before + rows].to(self.dtype), between)
            gates[:, : 2 * size].sigmoid_()
            gates[:, 2 * size : 3 * size].tanh_()
            gates[:, 3 * size :].sigmoid_()
            i, f, g, o = gates.chunk(4, dim=1)
            torch.mul(i, g, out=cells)
            if before is not None:
                cells.addcmul_(f, self.cells[before : before + rows])
            torch.tanh(cells, out=self.squashed[now])
            torch.mul(o, self.squashed[now], out=self.hidden[now])
            before, start = start, start + rows
        return self.hidden

    def back(self, gradient: torch.Tensor, of_inputs: bool) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the inputs (or `None`) and of the four weights, from that of the hidden states."""
        sums = torch.empty_like(self.gates)  # the gradient of what the gates are squashed from
        later_hidden = later_cells = None  # what the next step hands back
        start = len(self.inputs)
        for number in reversed(range(len(self.sizes))):
            rows = self.sizes[number]
            start -= rows
            now = slice(start, start + rows)
            i, f, g, o = self.gates[now].chunk(4, dim=1)
            to_i, to_f, to_g, to_o = sums[now].chunk(4, dim=1)
            squashed, hidden = self.squashed[now], gradient[now].clone()
            if later_hidden is not None:
                hidden[: len(later_hidden)] += later_hidden
            _through_sigmoid(torch.mul(hidden, squashed, out=to_o), o)
            cells = torch.ops.aten.tanh_backward(hidden.mul_(o), squashed)
            if later_cells is not None:
                cells[: len(later_cells)] += later_cells
            _through_sigmoid(torch.mul(cells, g, out=to_i), i)
            torch.mul(cells, i, out=to_g)
            torch.ops.aten.tanh_backward.grad_input(to_g, g, grad_input=to_g)
            if number:
                before = start - self.sizes[number - 1]
                _through_sigmoid(torch.mul(cells, self.cells[before : before + rows], out=to_f), f)
                later_cells = cells.mul_(f)
                later_hidden = sums[now].to(self.dtype) @ self.between
            else:
                to_f.zero_()  # the first cells come from nothing
        return self._gradients(sums, of_inputs)

    def _gradients(self, sums: torch.Tensor, of_inputs: bool) -> tuple[torch.Tensor | None, ...]:
        first, bias = self.sizes[0], sums.sum(0)
        sums = sums.to(self.dtype)
        between = sums[first:].t() @ self.hidden[self._earlier()].to(self.dtype)
        of_inputs = (sums @ self.into).float() if of_inputs else None
        return of_inputs, (sums.t() @ self.inputs).float(), between.float(), bias, bias

    def _earlier(self) -> torch.Tensor:
        """For each token but the first ones, the one before it in its row."""
        starts = [0]
        for rows in self.sizes:
            starts.append(starts[-1] + rows)
        found = [torch.arange(start, start + rows) for start, rows in zip(starts, self.sizes[1:], strict=False)]
        return torch.cat(found) if found else torch.empty(0, dtype=torch.long)

    def _add_product(self, sums: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Add a product to float32 sums, in place."""
        return sums.addmm_(one, other) if self.dtype == torch.float32 else sums.add_(one @ other)


def _through_sigmoid(gradient: torch.Tensor, output: torch.Tensor) -> None:
    torch.ops.aten.sigmoid_backward.grad_input(gradient, output, grad_input=gradient)


def _each(work: Callable[[Any], Any], items: Sequence) -> list:
    """Apply `work` to every item, without gradients: next to one another where there are threads for it."""
    threads = torch.get_num_threads() // len(items)
    if len(items) == 1 or not threads:
        return [work(item) for item in items]

    def alone(item):
        with torch.no_grad():  # known to the calling thread alone
            return work(item)

    return list(_pool(len(items), threads).map(alone, items))


@cache
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, "lstm", initializer=torch.set_num_threads, initargs=(threads,))
