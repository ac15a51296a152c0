"""Does the code server of this container serve? The exit code says so.

Dagster's own ``dagster api grpc-health-check`` asks the same, after 1.5 s of processor time to load Dagster.
"""

import os
import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

address = f"127.0.0.1:{os.environ.get('DAGSTER_CODE_SERVER_PORT', '4000')}"
with grpc.insecure_channel(address) as channel:
    try:
        answer = HealthStub(channel).Check(HealthCheckRequest(service="DagsterApi"), timeout=5)
    except grpc.RpcError as error:
        sys.exit(f"The code server at {address} does not answer: {error.code().name}")
if answer.status != HealthCheckResponse.SERVING:
    sys.exit(f"The code server at {address} does not serve")
