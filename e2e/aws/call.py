"""One call to an AWS service by boto3, answered as JSON. Times given as "+N" or "-N" are seconds from now.

Run: python call.py ENDPOINT REGION SERVICE OPERATION PARAMETERS      (the parameters as JSON)
"""
import datetime
import json
import sys

import boto3

endpoint, region, service, operation, parameters = sys.argv[1:6]
parameters = json.loads(parameters)
now = datetime.datetime.now(datetime.timezone.utc)
for name, value in parameters.items():
    if name.endswith("Time") and isinstance(value, str) and value[:1] in "+-":
        parameters[name] = now + datetime.timedelta(seconds=int(value))
client = boto3.client(service, endpoint_url=endpoint, region_name=region, aws_access_key_id="test", aws_secret_access_key="test")
answer = getattr(client, operation)(**parameters)
answer.pop("ResponseMetadata", None)
# Bodies of objects are streams: their text is the answer.
if hasattr(answer.get("Body"), "read"):
    answer["Body"] = answer["Body"].read().decode()
json.dump(answer, sys.stdout, default=str)
