"""The controller: a recurrent network that predicts a pyramid, decision by decision (section 3.1)."""
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmnasfpn.search.space import SearchSpace


class PolicyOutput(NamedTuple):
    """What a controller decided, for a batch of B genotypes with T decisions each.

    Args:
        actions (Tensor): Actions, (B, T), as :meth:`SearchSpace.decode` takes them.
        log_probs (Tensor): Logarithms of their probabilities, (B, T).
        entropies (Tensor): Entropies of the softmaxes in nats, (B, T).
    """

    actions: Tensor
    log_probs: Tensor
    entropies: Tensor


class Controller(nn.Module):
    """An LSTM over the decisions of Figure 3, with a softmax of its own for each of them.

    The LSTM's input is the last decision. Options that are no longer left are masked: the first input
    at the second one, and the levels of earlier outputs. The softmaxes start uniform.

    It computes in float64: CPUs round differently, and learning amplifies that, so that in float32 a
    search would soon draw other genotypes on another CPU.

    Args:
        space (SearchSpace): What to decide.
        hidden_size (int): Size of the LSTM's state and of its inputs. Defaults to 100, as in Zoph and
            Le (2017), whom the paper follows.
    """

    def __init__(self, space: SearchSpace, hidden_size: int = 100) -> None:
        super().__init__()
        self.space = space
        # Nodes, levels and ops share one embedding, and one more entry stands for the start.
        num_nodes = space.num_levels + space.num_cells
        ops = {op: num_nodes + space.num_levels + index for index, op in enumerate(space.ops)}
        levels = {level: num_nodes + index for index, level in enumerate(space.levels)}
        self._start = num_nodes + space.num_levels + len(ops)
        # Of each decision, all options of its softmax, masked or not.
        self._options = []
        for decision in space.decisions:
            numbers = list(range(space.num_levels + decision.cell))
            if decision.step == 'level':
                numbers = [levels[level] for level in space.levels_of(decision.cell)]
            elif decision.step == 'op':
                numbers = list(ops.values())
            self._options.append(torch.tensor(numbers))
        self.embedding = nn.Embedding(self._start + 1, hidden_size)
        self.lstm = nn.LSTMCell(hidden_size, hidden_size)
        self.heads = nn.ModuleList(nn.Linear(hidden_size, len(options)) for options in self._options)
        for parameter in self.heads.parameters():
            nn.init.zeros_(parameter)
        self.double()

    def forward(self, actions: Tensor | None = None, batch_size: int = 1,
                generator: torch.Generator | None = None,
                fixed: Mapping[int, int] = MappingProxyType({})) -> PolicyOutput:
        """Draw genotypes, or score given ones: one path for both.

        Args:
            actions (Tensor | None): Actions to score, (B, T). Defaults to None: draw them.
            batch_size (int): How many to draw.
            generator (torch.Generator | None): Where the randomness of drawing comes from.
            fixed (Mapping[int, int]): Actions that are not drawn, by the places of their decisions.
                Defaults to none.
        """
        if actions is not None:
            batch_size = len(actions)
        decided = torch.full((batch_size,), self._start)
        state = None
        first = torch.zeros(batch_size, 0, dtype=torch.bool)  # the first input, as a mask
        levels = torch.zeros(batch_size, self.space.num_levels, dtype=torch.bool)  # of earlier outputs
        columns = []
        for index, decision in enumerate(self.space.decisions):
            is_output_level = decision.step == 'level' and decision.cell >= self.space.num_intermediate
            state = self.lstm(self.embedding(decided), state)
            logits = self.heads[index](state[0])  # (B, K)
            masked = torch.zeros_like(logits, dtype=torch.bool)
            if decision.step == 'input_2':
                masked = first
            elif is_output_level:
                masked = levels
            log_softmax = logits.masked_fill(masked, -torch.inf).log_softmax(dim=1)
            # An action counts the options that are left.
            place = (~masked).cumsum(dim=1) - 1  # (B, K)
            if actions is None and index not in fixed:
                # In float32, as earlier versions drew.
                probabilities = log_softmax.exp().float()
                choice = torch.multinomial(probabilities, 1, generator=generator)  # (B, 1)
            else:
                action = fixed[index] if actions is None else actions[:, index, None]  # (B, 1)
                choice = (~masked & (place == action)).int().argmax(dim=1, keepdim=True)
            chosen = torch.zeros_like(masked).scatter(1, choice, True)  # (B, K)
            # 0 * -inf would be NaN.
            entropy = -(log_softmax.exp() * log_softmax.masked_fill(masked, 0)).sum(dim=1)  # (B,)
            columns.append((place[chosen], log_softmax[chosen], entropy))
            decided = self._options[index][choice[:, 0]]
            if decision.step == 'input_1':
                first = chosen
            elif is_output_level:
                levels = levels | chosen
        return PolicyOutput(*(torch.stack(column, dim=1) for column in zip(*columns, strict=True)))
