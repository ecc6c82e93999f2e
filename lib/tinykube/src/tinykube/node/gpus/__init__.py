"""The GPUs of this machine: found by NVML, offered as extended resources, lent to pods by UUID.

`inventory` reads what there is, `plan` says what of it is offered under which names, `leases` who
holds what (on disk, with the pod), `manager` puts it together for the node's agent.
"""
