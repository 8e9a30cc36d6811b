"""An AWS endpoint for tests: moto, made to understand the protocol of today's SDKs for CloudWatch.

The Rust SDK speaks Smithy RPC v2 CBOR with CloudWatch, moto knows only the query protocol. Requests to
/service/<name>/operation/<Op> with a CBOR body are decoded and made again through boto3 against moto itself; anything else
goes to moto unchanged. One server, one port, one AWS_ENDPOINT_URL for every service.

Run: python endpoint.py ADDRESS PORT     (needs requirements.txt; installed by install.sh)
"""
import datetime
import gzip
import re
import sys

import boto3
import cbor2
from botocore.exceptions import BotoCoreError, ClientError
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

OPERATION = re.compile(r"^/service/GraniteServiceVersion20100801/operation/(\w+)$")


def plain(value):
    """A boto3 answer as CBOR can carry it: times as tag 1, without the metadata that boto3 adds."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != "ResponseMetadata" and v is not None}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, datetime.datetime):
        return cbor2.CBORTag(1, value.timestamp())
    return value


class CborToQuery:
    """WSGI middleware in front of moto."""

    def __init__(self, app, port):
        self.app, self.port = app, port

    def __call__(self, environ, start_response):
        match = OPERATION.match(environ["PATH_INFO"])
        if not match:
            return self.app(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ.get("HTTP_CONTENT_ENCODING") == "gzip":  # the SDK compresses large PutMetricData bodies
            body = gzip.decompress(body)
        params = cbor2.loads(body) if body else {}
        region = re.search(r"/(\w+-\w+-\d)/", environ.get("HTTP_AUTHORIZATION", "")) or [None, "us-east-1"]
        client = boto3.client("cloudwatch", endpoint_url=f"http://127.0.0.1:{self.port}", region_name=region[1],
                              aws_access_key_id="test", aws_secret_access_key="test")
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", match[1]).lower()
        try:
            status, answer = "200 OK", plain(getattr(client, method)(**params))
        except ClientError as error:
            status, answer = "400 Bad Request", {"__type": error.response["Error"]["Code"], "message": error.response["Error"]["Message"]}
        except BotoCoreError as error:  # parameters that boto3 itself refuses
            status, answer = "400 Bad Request", {"__type": "ValidationError", "message": str(error)}
        start_response(status, [("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")])
        return [cbor2.dumps(answer)]


if __name__ == "__main__":
    address, port = sys.argv[1], int(sys.argv[2])
    run_simple(address, port, CborToQuery(DomainDispatcherApplication(create_backend_app), port), threaded=True)
