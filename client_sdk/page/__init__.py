"""A report as one HTML file for people: report values in, bytes out. It shows a verdict and makes none."""

from client_sdk.page.page import Heading, render

__all__ = ["Heading", "render"]
