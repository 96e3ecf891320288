"""What Triton asks torch about GPUs: there is one, an H100."""

from types import SimpleNamespace

version = SimpleNamespace(hip=None)
cuda = SimpleNamespace(
    is_available=lambda: True,
    get_device_capability=lambda _=0: (9, 0),
    current_device=lambda: 0,
    set_device=lambda _: None,
    current_stream=lambda _: SimpleNamespace(cuda_stream=0x77),
)
