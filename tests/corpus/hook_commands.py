"""Every hook command with its arguments, answers, refusals and exit codes, as Juju has them.

The words are those of Juju 3.6's source: 2 is the exit code of a command line that makes no
sense, 1 that of a refusal. The rows of one place are asked in turn inside one hook or action.
"""

import dataclasses


@dataclasses.dataclass
class Row:
    """One call: where, with what, and what comes of it.

    Attributes:
        out: standard output; what is no string is compared with what its JSON says.
        err: what follows `ERROR ` on standard error; with it the exit code is 1 or 2.
        keep: the name under which further rows find what was printed.
    """

    where: str
    argv: str
    out: object = ""
    err: str = ""
    code: int = 0
    stdin: str = ""
    keep: str = ""


def ok(where, argv, out="", **more):
    return Row(where, argv, out, **more)


def no(where, argv, err, code=1, **more):
    return Row(where, argv, err=err, code=code, **more)


def bad(where, argv, err, **more):
    return no(where, argv, err, 2, **more)


J = "--format=json"
NOWHERE = "secret:aaaaaaaaaaaaaaaaaaaa"
UNTHERE = 'secret "aaaaaaaaaaaaaaaaaaaa" not found'
NETWORK = {
    "bind-addresses": [
        {
            "mac-address": "",
            "interface-name": "lo",
            "addresses": [{"hostname": "", "value": "{bind}", "cidr": "{bind}/32"}],
        }
    ],
    "egress-subnets": ["{ingress}/32"],
    "ingress-addresses": ["{ingress}"],
}
RANGES = "port ranges are not supported for k8s applications, please specify a single port"
LEADER = [
    # config-get
    ok("leader", f"config-get {J}", {"n": "{n}"}),
    ok("leader", f"config-get {J} --all", {"n": "{n}", "unset": None}),
    ok("leader", f"config-get {J} n", "{n}"),
    ok("leader", f"config-get {J} unset", None),
    ok("leader", f"config-get {J} unknown", None),
    ok("leader", "config-get n", "{n}\n"),
    ok("leader", "config-get unset", ""),
    ok("leader", "config-get --format yaml n", "'{n}'\n"),
    bad("leader", "config-get --all n", 'cannot use argument --all together with key "n"'),
    bad("leader", "config-get n b", 'unrecognized args: ["b"]'),
    bad("leader", "config-get --nonsense", "option provided but not defined: --nonsense"),
    bad("leader", "config-get -x", "option provided but not defined: -x"),
    bad("leader", "config-get --format", "option needs an argument: --format"),
    bad(
        "leader",
        "config-get --format=xml",
        'invalid value "xml" for option --format: unknown format "xml"',
    ),
    # is-leader
    ok("leader", f"is-leader {J}", True),
    ok("leader", "is-leader", "True\n"),
    ok("follower", f"is-leader {J}", False),
    bad("leader", "is-leader now", 'unrecognized args: ["now"]'),
    # relation-ids, -list, -model-get
    ok("leader", f"relation-ids out {J}", ["out:1"]),
    ok("leader", f"relation-ids none {J}", []),
    ok("leader", "relation-ids none", ""),
    ok("changed", f"relation-ids {J}", ["in:1"]),
    bad("leader", f"relation-ids {J}", "no endpoint name specified"),
    ok("leader", f"relation-list {J} -r out:1", ["r/0"]),
    ok("leader", f"relation-list {J} -r mates:0", ["p/1"]),
    ok("leader", f"relation-list {J} --app -r 1", "r"),
    ok("changed", f"relation-list {J}", ["p/0", "p/1"]),
    bad("leader", f"relation-list {J}", "no relation id specified"),
    no(
        "leader",
        "relation-list -r out:99",
        'invalid value "out:99" for option -r: relation not found',
    ),
    ok("leader", f"relation-model-get {J} -r out:1", {"uuid": "{uuid}"}),
    ok("leader", f"relation-model-get {J} -r mates:0", {"uuid": "{uuid}"}),
    bad("leader", "relation-model-get", "no relation id specified"),
    # relation-set, relation-get
    ok("leader", "relation-set -r out:1 --file -", stdin='{"a": "x", "b": "1"}'),
    ok("leader", "relation-set -r out:1 --app --file -", stdin="app: x\n"),
    ok("leader", f"relation-get {J} -r out:1 a p/0", "x"),
    ok("leader", "relation-set -r 1 b="),
    ok("leader", f"relation-get {J} -r out:1 b p/0", None),
    ok("leader", f"relation-get {J} -r out:1 --app - p", {"app": "x"}),
    ok("leader", f"relation-get {J} -r out:1 --app - p/0", {"app": "x"}),
    ok("leader", f"relation-get {J} -r out:1 --app - r", {}),
    ok("changed", f"relation-get {J} egress-subnets", "{remote}/32"),
    ok("changed", f"relation-get {J} --app -", {"app": "x"}),
    ok("changed", "relation-get a", "x\n"),
    ok("app-changed", f"relation-get {J}", {"app": "x"}),
    bad("leader", "relation-get", "no relation id specified"),
    bad("leader", "relation-get -r 1", "no unit or application specified"),
    bad("leader", "relation-get -r 1 - p", 'expected unit name, got application name "p"'),
    bad("leader", "relation-get -r 1 - p/x", 'invalid unit name "p/x"'),
    bad("leader", "relation-get -r 1 - p/0 more", 'unrecognized args: ["more"]'),
    no("leader", "relation-get -r x - r/0", 'invalid value "x" for option -r: relation not found'),
    no("leader", "relation-get -r 1 - p/1", "permission denied"),
    no("follower", "relation-get -r 1 --app - p", "permission denied"),
    ok("follower", f"relation-get {J} -r mates:0 --app - p", {}),
    no("follower", "relation-set -r 1 --app a=b", "cannot write relation settings"),
    bad("leader", "relation-set -r 1 ab", 'expected "key=value", got "ab"'),
    bad("leader", "relation-set -r 1 a=b a=c", 'key "a" specified more than once'),
    no("leader", "relation-set -r 9 a=b", 'invalid value "9" for option -r: relation not found'),
    # state-get, -set, -delete
    ok("leader", f"state-get {J}", {}),
    ok("leader", "state-set --file -", stdin="a: '1'\nb: two\n"),
    ok("leader", "state-set c=3"),
    ok("leader", "state-delete b"),
    ok("leader", "state-delete"),
    ok("leader", f"state-get {J}", {"a": "1", "c": "3"}),
    ok("leader", f"state-get {J} a", "1"),
    ok("leader", f"state-get {J} b", None),
    no("leader", "state-get --strict b", '"b" not found'),
    ok("leader", f"state-set {'k' * 256}={'v' * 65536}"),
    no("leader", f"state-set {'k' * 257}=v", "max allowed key length (256) exceeded"),
    no("leader", f"state-set k={'v' * 65537}", "max allowed value length (65536) exceeded"),
    bad("leader", "state-set ab", 'expected "key=value", got "ab"'),
    # status-set, status-get
    ok("leader", "status-set --application=False active -- fine"),
    ok("leader", "status-set --application=True waiting -- whole"),
    ok(
        "leader",
        f"status-get --include-data {J} --application=false",
        {"status": "active", "message": "fine", "status-data": {}},
    ),
    ok("leader", f"status-get {J}", {"status": "active"}),
    ok("leader", "status-get", "active\n"),
    ok("leader", "status-get --application", "waiting\n"),
    ok(
        "leader",
        f"status-get {J} --application=true",
        {
            "application-status": {
                "status": "waiting",
                "units": {"p/0": {"status": "active"}, "p/1": {"status": "unknown"}},
            },
            "units": {"p/0": {"status": "active"}, "p/1": {"status": "unknown"}},
        },
    ),
    no("follower", "status-set --application=True active", "this unit is not the leader"),
    no(
        "follower",
        "status-get --application",
        "finding application status: this unit is not the leader",
    ),
    bad("leader", "status-set", "invalid args, require <status> [message]"),
    bad(
        "leader",
        "status-set error -- x",
        'invalid status "error", expected one of [maintenance blocked waiting active]',
    ),
    bad("leader", "status-set active a b", 'unrecognized args: ["b"]'),
    # storage-list, -get, -add
    ok("leader", f"storage-list {J}", ["data/0"]),
    ok("leader", f"storage-list {J} data", ["data/0"]),
    ok("leader", f"storage-list {J} other", []),
    ok(
        "leader",
        f"storage-get {J} -s data/0",
        {"kind": "filesystem", "location": "/var/lib/juju/storage/data/0"},
    ),
    ok("leader", "storage-get -s data/0 kind", "filesystem\n"),
    bad("leader", "storage-get", "no storage instance specified"),
    no(
        "leader",
        "storage-get -s data/9",
        'invalid value "data/9" for option -s: storage not found',
    ),
    bad("leader", "storage-get -s 9", 'invalid value "9" for option -s: invalid storage ID'),
    no("leader", "storage-get -s data/0 size", 'invalid storage attribute "size"'),
    ok("leader", "storage-add data=1"),
    bad("leader", "storage-add", "storage add requires a storage directive"),
    bad(
        "leader",
        "storage-add data=1G",
        'cannot parse directive for storage "data": only a count can be specified, got "1G"',
    ),
    no("leader", "storage-add none", 'charm storage "none" not found'),
    no(
        "leader",
        "storage-add data=9",
        'cannot add 10 of storage "data": at most 3 allowed, 1 there',
    ),
    # network-get, unit-get
    ok("leader", f"network-get {J} out", NETWORK),
    ok("leader", f"network-get {J} -r 1 out", NETWORK),
    ok("leader", f"network-get {J} juju-info", NETWORK),
    ok("leader", "network-get --bind-address out", "{bind}\n"),
    ok("leader", f"network-get {J} --egress-subnets out", ["{ingress}/32"]),
    ok(
        "leader",
        f"network-get {J} --ingress-address --bind-address out",
        {"bind-address": "{bind}", "ingress-address": "{ingress}"},
    ),
    ok("leader", "network-get --primary-address out", "{bind}\n"),
    no("leader", "network-get nothing", 'no network config found for binding "nothing"'),
    no("leader", "network-get -r 77 out", 'invalid value "77" for option -r: relation not found'),
    bad("leader", "network-get", "no arguments specified"),
    no(
        "leader",
        "network-get --primary-address --bind-address out",
        "--primary-address must be the only flag specified",
    ),
    ok("leader", "unit-get private-address", "{bind}\n"),
    bad("leader", "unit-get", "no setting specified"),
    bad("leader", "unit-get age", 'unknown setting "age"'),
    # open-port, close-port, opened-ports
    ok("leader", "open-port 80/tcp"),
    ok("leader", "open-port 80/tcp"),
    ok("leader", "open-port --endpoints out,mates 53/UDP"),
    ok("leader", "open-port 443"),
    ok("leader", "open-port icmp"),
    ok("leader", f"opened-ports {J}", ["icmp", "80/tcp", "443/tcp", "53/udp"]),
    ok("leader", "close-port 443/tcp"),
    ok("leader", "close-port icmp"),
    ok("leader", f"opened-ports --endpoints {J}", ["80/tcp (*)", "53/udp (mates, out)"]),
    bad("leader", "open-port", "no port or range specified"),
    bad("leader", "open-port x", 'invalid port "x"'),
    bad("leader", "open-port 1-2-3", 'invalid port range "1-2-3"'),
    bad("leader", "open-port 9-3/tcp", "invalid port range 9-3/tcp"),
    bad(
        "leader",
        "open-port 99999/tcp",
        "port range bounds must be between 1 and 65535, got 99999-99999",
    ),
    bad(
        "leader",
        "open-port 1/sctp",
        'invalid protocol "sctp", expected "tcp", "udp", or "icmp"',
    ),
    no("leader", "open-port 100-110/udp", RANGES),
    no("leader", "close-port 100-110/udp", RANGES),
    no("leader", "open-port 80/tcp --endpoints none", 'endpoint "none" not found'),
    # goal-state
    bad("leader", "goal-state now", 'unrecognized args: ["now"]'),
    # resource-get
    bad("leader", "resource-get", "missing required resource name"),
    no("leader", "resource-get none", 'could not download resource: resource "none" not found'),
    no("leader", "resource-get file", 'could not download resource: resource "file" not found'),
    # credential-get
    no("leader", "credential-get", "cannot access cloud credentials: permission denied"),
    # the rest
    ok("leader", "application-version-set -- 1.2.3"),
    bad("leader", "application-version-set", "no version specified"),
    ok("leader", "juju-log --log-level INFO -- words"),
    ok("leader", "juju-log -l NONSENSE words"),
    bad("leader", "juju-log", "no message specified"),
    no("leader", "juju-reboot", "juju-reboot is not supported on Kubernetes"),
    no("leader", "goal-states", "hook command 'goal-states' not supported"),
]
SECRETS = [
    ok(
        "leader",
        "secret-add --label l --description d --expire 2030-01-01T00:00:00 --rotate daily"
        " --owner application abc=one xyz#base64=dHdv",
        "secret:{*}\n",
        keep="secret",
    ),
    ok("leader", f"secret-get {J} {{secret}}", {"abc": "one", "xyz": "two"}),
    ok("leader", f"secret-get {J} --label l --peek", {"abc": "one", "xyz": "two"}),
    ok("leader", "secret-get {secret}", "abc: one\nxyz: two\n"),
    ok("leader", "secret-get {secret} abc", "one\n"),
    ok("leader", f"secret-get {J} {{secret}} xyz#base64", "dHdv"),
    no("leader", "secret-get {secret} none", 'secret key value "none" not found'),
    ok(
        "leader",
        f"secret-info-get {J} {{secret}}",
        {
            "{id}": {
                "revision": 1,
                "label": "l",
                "owner": "application",
                "description": "d",
                "rotation": "daily",
                "expiry": "2030-01-01T00:00:00Z",
            }
        },
    ),
    ok("leader", f"secret-ids {J}", ["{id}"]),
    no("leader", "secret-add abc=x --label l", 'secret with label "l" already exists'),
    ok("leader", "secret-set {secret} abc=three --rotate never"),
    ok("leader", f"secret-get {J} {{secret}} abc", "three"),
    ok("leader", "secret-grant --relation 1 {secret}"),
    ok("leader", "secret-grant --relation 1 --unit r/0 {secret}"),
    ok("leader", "secret-revoke --relation 1 --unit r/0 {secret}"),
    ok("leader", "secret-revoke --app r {secret}"),
    bad("leader", "secret-grant --relation 1", "missing secret URI"),
    bad("leader", "secret-grant {secret}", "no relation id specified"),
    bad("leader", "secret-grant -r 1 --unit r {secret}", 'unit "r" not valid'),
    bad(
        "leader",
        "secret-grant -r 1 --unit q/0 {secret}",
        'cannot specify unit "q/0" in relation to application "r"',
    ),
    no(
        "leader",
        "secret-grant -r 9 {secret}",
        'invalid value "9" for option -r: relation not found',
    ),
    bad("leader", "secret-revoke {secret}", "missing relation or application or unit"),
    bad(
        "leader",
        "secret-revoke --app r --unit r/0 {secret}",
        "specify only one of application or unit",
    ),
    bad(
        "leader",
        "secret-revoke -r 1 --app r {secret}",
        "do not specify both relation and app",
    ),
    bad("leader", "secret-revoke --app R {secret}", 'application "R" not valid'),
    ok("leader", "secret-remove {secret} --revision 1"),
    ok("leader", "secret-remove {secret}"),
    no("leader", "secret-get {secret}", 'secret "{id}" not found'),
    ok("leader", f"secret-ids {J}", []),
    # A moment that has passed is none of secret-add's business.
    ok(
        "follower",
        "secret-add --owner unit --expire 2020-01-01T00:00:00Z abc=x",
        "secret:{*}\n",
        keep="mine",
    ),
    ok("follower", "secret-set {mine} abc=y"),
    no("follower", "secret-add abc=x", "this unit is not the leader"),
    bad("leader", "secret-add", "missing secret value or filename"),
    no("leader", "secret-add --file -", "empty secret value not valid", stdin="{}"),
    bad("leader", "secret-add abc", 'key value "abc" not valid'),
    bad("leader", "secret-add ab=x", 'key "ab" not valid'),
    bad("leader", "secret-add Abc=x", 'key "Abc" not valid'),
    bad("leader", "secret-add a--b=x", 'key "a--b" not valid'),
    bad("leader", "secret-add abc=x --rotate sometimes", 'rotate policy "sometimes" not valid'),
    bad("leader", "secret-add abc=x --owner model", 'secret owner "model" not valid'),
    bad("leader", "secret-add abc=x --expire soon", 'expire time or duration "soon" not valid'),
    bad("leader", "secret-add abc=x --expire -1h", 'negative expire duration "-1h" not valid'),
    bad("leader", "secret-set", "missing secret URI"),
    bad("leader", "secret-set nonsense abc=x", 'secret URI "nonsense" not valid'),
    no("leader", f"secret-set {NOWHERE} abc=x", UNTHERE),
    bad("leader", "secret-get", "require either a secret URI or label"),
    bad("leader", "secret-get nonsense", 'secret URI "nonsense" not valid'),
    bad(
        "leader",
        f"secret-get {NOWHERE} --peek --refresh",
        "specify one of --peek or --refresh but not both",
    ),
    no("leader", f"secret-get {NOWHERE}", UNTHERE),
    no("leader", "secret-get --label none", 'secret "none" not found'),
    bad("leader", "secret-info-get", "require either a secret URI or label"),
    bad(
        "leader",
        f"secret-info-get {NOWHERE} --label l",
        "specify either a secret URI or label but not both",
    ),
    no("leader", f"secret-info-get {NOWHERE}", UNTHERE),
    no("leader", "secret-info-get --label none", 'secret "none" not found'),
    bad("leader", "secret-remove", "missing secret URI"),
    no("leader", f"secret-remove {NOWHERE}", UNTHERE),
    bad(
        "leader",
        f"secret-remove {NOWHERE} --revision x",
        'invalid value "x" for option --revision',
    ),
]
ACTIONS = [
    ok("action", f"action-get {J}", {"deep": {"er": 1}}),
    ok("action", f"action-get {J} deep.er", 1),
    ok("action", "action-get deep.er", "1\n"),
    ok("action", f"action-get {J} none.such", None),
    ok("action", "action-set a.b=c f=g"),
    ok("action", "action-log -- half way"),
    bad("action", "action-get deep er", 'unrecognized args: ["er"]'),
    bad("action", "action-set ab", 'argument "ab" must be of the form key...=value'),
    bad("action", "action-set a.stdout=x", 'cannot set reserved action key "stdout"'),
    bad(
        "action",
        "action-set a.B=x",
        'key "B" must start and end with lowercase alphanumeric, and contain only lowercase'
        " alphanumeric, hyphens and periods",
    ),
    bad("action", "action-log", "no message specified"),
    ok("action", "action-fail"),
    bad("action", "action-fail a b", 'unrecognized args: ["b"]'),
    no("leader", "action-get", "not running an action"),
    no("leader", "action-set a=b", "not running an action"),
    no("leader", "action-fail", "not running an action"),
    no("leader", "action-log x", "not running an action"),
]
ROWS = [*LEADER, *SECRETS, *ACTIONS]
