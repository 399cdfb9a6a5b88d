"""Runs each command of three published REST clients against a worker and prints what they said.

    clients.py URL BOOTSTRAP FOLDER

One JSON object a line: the client, the command, its exit code and its output. The packages are
untouched; their command lines are invoked in this process.
"""
import json
import sys
import time

import requests
from click.testing import CliRunner
from kafka_connect.cli import cli as kafka_connect
from kafka_connect_api.kafka_connect_api import Api, Cluster
from kafkaconnect.cli import main as kafkaconnect

url, bootstrap, folder = sys.argv[1:4]
base = {
    "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
    "topics": "rest-parity",
    "tasks.max": "1",
    "file": "/tmp/millrace-rest-parity-clients.txt",
}


def told(client, command, code, output):
    try:
        # One of them says what it does before it shows what came of it.
        before, brace, rest = output.partition("{") if output[:1] not in "{[" else ("", "", output)
        parsed = json.loads(brace + rest)
        output = {"before": before, "parsed": parsed} if before else parsed
    except (TypeError, ValueError):
        pass
    if "restart" in command and isinstance(output, dict):
        # How far a restart is when it is answered is chance.
        output = sorted(output)
    print(json.dumps({"client": client, "command": command, "exit": code, "output": output}))


# What a worker of a cluster shows, or says, while tasks start anew.
PASSING = ("UNASSIGNED", "RESTARTING", "Cannot complete request momentarily")
CHANGES = {"upload", "create", "update", "delete", "pause", "resume", "restart", "restart-task"}


def run(client, tool, *arguments):
    result = CliRunner().invoke(tool, list(arguments))
    for _ in range(600):
        if not CHANGES.isdisjoint(arguments) or not any(word in result.output for word in PASSING):
            break
        time.sleep(0.1)
        result = CliRunner().invoke(tool, list(arguments))
    text = result.output.replace(url, "URL")
    if result.exception and not isinstance(result.exception, SystemExit):
        text += f"{type(result.exception).__name__}: {result.exception}".replace(url, "URL")
    command = [word for word in arguments if url not in word and bootstrap not in word]
    told(client, command, result.exit_code, text)


def settle(name, state):
    """Until the connector and its tasks are so, by its present configuration, for two minutes. A
    worker of a cluster answers 409 while tasks or connectors are about to be shared out anew."""
    def get(path):
        answer = requests.get(f"{url}/connectors/{name}{path}", timeout=60)
        return answer.json() if answer.status_code == 200 else None

    for _ in range(1200):
        status, config, tasks = get("/status"), get("/config"), get("/tasks")
        if status and config and tasks:
            states = {task["state"] for task in status["tasks"]} | {status["connector"]["state"]}
            current = all(config.items() <= task["config"].items() for task in tasks)
            if states == {state} and current and len(status["tasks"]) == len(tasks):
                return
        time.sleep(0.1)
    sys.exit(f"{name} is not {state}: {status}")


def settle_gone(name):
    """Until the connector is not shown any more, for two minutes."""
    for _ in range(1200):
        gone = all(
            requests.get(f"{url}/connectors/{name}{end}", timeout=60).status_code == 404
            for end in ("", "/status")
        )
        if gone:
            return
        time.sleep(0.1)
    sys.exit(f"{name} is still there")


def command_line_of_kafkaconnect():
    def tool(*arguments):
        run("kafkaconnect", kafkaconnect, "-b", bootstrap, "-c", url, *arguments)

    good, bad = f"{folder}/good.json", f"{folder}/bad.json"
    for path, more in ((good, {}), (bad, {"tasks.max": "0"})):
        with open(path, "w") as file:
            json.dump({**base, **more}, file)
    tool("list")
    tool("plugins")
    tool("help")
    tool("info", "k")
    tool("upload", "--dry-run", "--name", "k", good)
    tool("upload", "--name", "k", bad)
    tool("upload", "--name", "k", good)
    settle("k", "RUNNING")
    for command in ("list", "info", "status", "config", "tasks"):
        tool(*([command] if command == "list" else [command, "k"]))
    tool("pause", "k")
    settle("k", "PAUSED")
    tool("status", "k")
    tool("resume", "k")
    settle("k", "RUNNING")
    tool("restart", "k")
    settle("k", "RUNNING")
    # Not a restart: the JVM's standalone worker answers 500 with a null pointer's text.
    for command in ("status", "config", "tasks", "pause", "resume", "delete"):
        tool(command, "nope")
    tool("topics", "nope")
    tool("delete", "k")
    settle_gone("k")
    tool("list")


def command_line_of_kafka_connect():
    def tool(*arguments):
        run("kafka-connect-py", kafka_connect, "--url", url, *arguments)

    config = json.dumps(base)
    tool("info")
    tool("list")
    tool("list-plugins")
    plugin = "FileStreamSinkConnector"
    tool("validate-config", plugin, "-d", config)
    tool("validate-config", plugin, "-d", json.dumps({**base, "tasks.max": "x"}))
    tool("create", "-d", json.dumps({"name": "p", "config": base}))
    settle("p", "RUNNING")
    tool("create", "-d", json.dumps({"name": "p", "config": base}))
    tool("update", "p", "-d", json.dumps({**base, "errors.log.enable": "true"}))
    settle("p", "RUNNING")
    tool("update", "p", "-d", json.dumps({**base, "tasks.max": "0"}))
    for command in ("get", "config", "status", "list-tasks", "list-topics"):
        tool(command, "nope")
    for command in ("get", "config", "status", "list-tasks"):
        tool(command, "p")
    tool("list", "-e", "status")
    tool("list", "-e", "info")
    tool("list", "-p", "p.*")
    tool("list", "-p", "x.*")
    tool("list", "-s", "running")
    tool("list", "-s", "failed")
    tool("task-status", "p", "0")
    tool("task-status", "p", "9")
    tool("restart", "p")
    settle("p", "RUNNING")
    tool("restart", "p", "-i")
    settle("p", "RUNNING")
    tool("restart", "p", "-i", "-o")
    settle("p", "RUNNING")
    tool("restart", "--all", "-p", "p.*")
    settle("p", "RUNNING")
    # Not a task that is not there: the JVM's standalone worker would show it as failed from then on.
    tool("restart-task", "p", "0")
    settle("p", "RUNNING")
    tool("pause", "p")
    settle("p", "PAUSED")
    tool("list", "-s", "paused")
    tool("resume", "--all")
    settle("p", "RUNNING")
    tool("reset-topics", "p")
    tool("reset-topics", "nope")
    tool("pause", "nope")
    tool("delete", "nope")
    tool("delete", "p")
    settle_gone("p")
    tool("list")


def library_kafka_connect_api():
    host, port = url.removeprefix("http://").split(":")
    cluster = Cluster(Api(host, port=int(port)))

    def call(name, what):
        try:
            told("kafka_connect_api", name, 0, json.dumps(what(), default=str))
        except Exception as error:  # the outcome itself
            told("kafka_connect_api", name, 1, type(error).__name__)

    def create(config):
        return cluster.api.post_raw("/connectors", json={"name": "l", "config": config}).json()

    call("version", lambda: cluster.version)
    call("kafka_cluster", lambda: bool(cluster.kafka_cluster))
    call("connectors", lambda: sorted(cluster.connectors))
    call("loggers", lambda: isinstance(cluster.loggers, dict))
    call("set_logger", lambda: cluster.set_logger_log_level("millrace.parity", "DEBUG"))
    call("create", lambda: create(base))
    settle("l", "RUNNING")
    call("connectors", lambda: sorted(cluster.connectors))
    connector = cluster.connectors["l"]
    call("exists", connector.exists)
    call("state", lambda: connector.state)
    call("status", lambda: connector.status)
    call("config", lambda: connector.config)
    call("class", lambda: connector.connector_class)
    call("tasks", lambda: [str(task) for task in connector.tasks])
    call("task.status", lambda: connector.tasks[0].status)
    call("task.running", lambda: connector.tasks[0].is_running())
    call("task.restart", lambda: connector.tasks[0].restart())
    settle("l", "RUNNING")
    call("restart_all_tasks", connector.restart_all_tasks)
    settle("l", "RUNNING")
    call("pause", connector.pause)
    settle("l", "PAUSED")
    call("state", lambda: connector.state)
    call("resume", connector.resume)
    settle("l", "RUNNING")
    call("restart", connector.restart)
    settle("l", "RUNNING")

    def reconfigure():
        connector.config = {**base, "errors.log.enable": "true"}
        settle("l", "RUNNING")
        return connector.config

    call("set config", reconfigure)
    settle("l", "RUNNING")
    call("delete", connector.delete)
    settle_gone("l")
    call("exists", connector.exists)
    call("connectors", lambda: sorted(cluster.connectors))


command_line_of_kafkaconnect()
command_line_of_kafka_connect()
library_kafka_connect_api()
