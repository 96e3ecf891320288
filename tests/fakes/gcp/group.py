"""Managed instance groups of the fake, and the balancer in front of them."""

from __future__ import annotations

import copy
import json
import re

from tests.fakes.gcp import instance


def create(project, url):
    """Make a group's machines; what ``failing`` says of instances keeps one from being made."""
    body, zone = project.resources[url], url.split("/")[1]
    template = project.resources[re.sub(r"^projects/[^/]+/", "", body["instanceTemplate"])]
    body["_attempts"] = {}
    for _ in range(body["targetSize"]):
        name = f"{body['baseInstanceName']}-{project.next():04x}"
        failed = next((one for one in project.failing if one[0] == "instances"), None)
        if failed is not None:
            project.failing.remove(failed)
            body["_attempts"][name] = failed[1]
            continue
        made = copy.deepcopy(template["properties"]) | {"name": name, "id": str(project.next()), "status": "RUNNING"}
        created_by = f"projects/{project.name}/zones/{zone}/instanceGroupManagers/{body['name']}"
        made["metadata"]["items"].append({"key": "created-by", "value": created_by})
        made["machineType"] = f"zones/{zone}/machineTypes/{made['machineType']}"
        project.resources[f"zones/{zone}/instances/{name}"] = made
        instance.create(project, f"zones/{zone}/instances/{name}")


def machines(project, url):
    """Return the URLs of a group's machines."""
    inner = f'"projects/{project.name}/{url}"'
    return [name for name, one in project.resources.items() if "/instances/" in name and inner in json.dumps(one)]


def listed(project, url):
    """Return a group's machines, those too that could not be made."""
    there = [
        {"instance": f"projects/{project.name}/{name}", "instanceStatus": project.resources[name]["status"]}
        for name in machines(project, url)
    ]
    absent = [
        {
            "instance": f"projects/{project.name}/zones/{url.split('/')[1]}/instances/{name}",
            "currentAction": "CREATING",
            "lastAttempt": {"errors": {"errors": [error]}},
        }
        for name, error in project.resources[url].get("_attempts", {}).items()
    ]
    return there + absent


def remove(project, url):
    """End a group's machines with it."""
    for name in machines(project, url):
        instance.remove(project, name)
        del project.resources[name]


def serve(project, url):
    """Let the balancer's address lead to the group, once it has one."""
    body = project.resources[url]
    if body["IPAddress"].startswith("projects/"):  # Google answers with the address itself
        body["IPAddress"] = project.resources[re.sub(r"^projects/[^/]+/", "", body["IPAddress"])]["address"]
    where = (body["IPAddress"], int(body["ports"][0]))
    project.running[where] = project.start(body, *where)


def silence(project, url):
    """End that."""
    body = project.resources[url]
    end = project.running.pop((body["IPAddress"], int(body["ports"][0])), None)
    if end is not None:
        end()
