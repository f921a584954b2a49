"""HTTP without any client of AWS's."""

import urllib.error
import urllib.request


def put(url, body):
    """The status that a PUT is answered with."""
    request = urllib.request.Request(url, data=body.encode(), method="PUT", headers={"Content-Type": ""})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
