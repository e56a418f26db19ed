"""A bundle as a torch module, for programs that evaluate their networks in torch."""

from __future__ import annotations

import torch

from redy.dispatch.bundle import Bundle
from redy.errors import DomainError, UnsupportedError

_TYPES = (torch.float32, torch.float64)


class SlicedModule(torch.nn.Module):
    """The dispatcher: (n, inputs) -> (n, outputs), in the type and on the device of its inputs.

    Inputs are evaluated in float64 on the CPU, wherever they come from. There are no parameters, so
    that nothing is trained or moved; and no gradients. A module can be pickled.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.bundle = bundle

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Outputs of ``points``.

        Raises:
            DomainError: as :meth:`Bundle.slice_of`, or the inputs are neither float32 nor float64.
            UnsupportedError: a gradient with respect to ``points`` would be needed.
        """
        if points.dtype not in _TYPES:
            raise DomainError(f"inputs must be float32 or float64 tensors, not {points.dtype}")
        if points.requires_grad and torch.is_grad_enabled():
            raise UnsupportedError(
                "a bundle has no gradients; call it under torch.no_grad(), or detach its inputs"
            )
        outputs = self.bundle(points.detach().cpu().numpy())
        return torch.from_numpy(outputs).to(points.device, points.dtype)

    def extra_repr(self) -> str:
        """What ``print`` says of the module."""
        bundle = self.bundle
        return (
            f"{bundle.network.inputs} -> {bundle.network.outputs}, "
            f"{bundle.slicing.slices} slices, {bundle.guarantee}"
        )
