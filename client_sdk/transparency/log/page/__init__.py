"""A log as pages for people: parsed entries in, HTML files out. They show what the log says, and prove nothing."""

from client_sdk.transparency.log.page.overview import Named, Overview
from client_sdk.transparency.log.page.render import render
from client_sdk.transparency.log.page.survey import survey

__all__ = ["Named", "Overview", "render", "survey"]
