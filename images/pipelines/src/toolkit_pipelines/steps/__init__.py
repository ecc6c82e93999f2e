"""What steps without a shared volume talk to: their task, their inputs, their outputs, over HTTP.

A step's token stands for one attempt, and every path in a request is relative to it: a step can
claim its own task, read its own inputs and write its own outputs, and has no words for anything
else. The token ends with the attempt.

    POST /steps/v1/claim           {"claim": ID}; gives the task, 409 if another has claimed it
    GET  /steps/v1/inputs          gives {"files": [{path, size, sha256, url} or {path, folder}]}
    POST /steps/v1/outputs         {"files": [{path, size, sha256, md5, parts} or {path, folder}]};
                                   gives {"files": [{path, url, headers} or
                                   {path, "parts": [{url, headers, start, size}]}]}
    PUT  /steps/v1/result          the record; commits the outputs, or drops them if it failed
    GET  /steps/v1/inputs?path=    one file of the list again, and
    GET  /steps/v1/outputs?path=   likewise: links to an object store end after a while
    GET  /steps/v1/content?path=   one file of an input; `Range: bytes=N-` goes on
    PUT  /steps/v1/content?path=   one file of an output, as it was declared

A url may lead to an object store, and is followed without the token. There a file larger than the
task's `part_size` goes in parts, whose MD5s are declared.

Each may be sent twice. Nothing that a step sent is seen by anyone before its result is there.
The launcher (`images/step`) is the other side.
"""

from ..manifest import ManifestError
from .exchange import Exchange
from .routes import PREFIX, application
from .tokens import StepTokens

__all__ = ["PREFIX", "Exchange", "ManifestError", "StepTokens", "application"]
