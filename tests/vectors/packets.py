"""Golden packets: what is on the wire, in which version, and what it says.

Read by the codec's tests and as seeds by the property tests.
"""

GOOD: dict[str, tuple[int, str, dict[str, object]]] = {
    "connect 3.1.1": (
        0,
        "10 0d 0004 4d515454 04 02 003c 0001 78",
        {"type": 1, "version": 4},
    ),
    "connect 3.1": (
        0,
        "10 0f 0006 4d5149736470 03 02 003c 0001 78",
        {"type": 1, "version": 3},
    ),
    "connect 5.0": (
        0,
        "10 0e 0004 4d515454 05 02 003c 00 0001 78",
        {"type": 1, "version": 5},
    ),
    "connect with everything": (
        0,
        "10 28 0004 4d515454 05 ee 003c 05 11 0000000a 0001 78"
        "05 18 00000005 0003 772f74 0002 6869 0001 75 0001 70",
        {"type": 1, "version": 5},
    ),
    "connack": (4, "20 02 01 00", {"type": 2}),
    "connack 5.0": (5, "20 06 00 00 03 21 0014", {"type": 2}),
    "publish": (4, "30 07 0003 612f62 6869", {"type": 3, "qos": 0}),
    "publish qos 1": (
        4,
        "32 09 0003 612f62 0001 6869",
        {"type": 3, "qos": 1, "packet_id": 1},
    ),
    "publish qos 2 dup retain": (4, "3d 05 0001 61 0102", {"type": 3, "qos": 2}),
    "publish 5.0": (5, "30 0a 0001 61 05 02 0000000a 21", {"type": 3}),
    "publish 5.0 with an alias alone": (5, "30 06 0000 03 23 0001", {"type": 3}),
    "puback": (4, "40 02 0001", {"type": 4, "packet_id": 1}),
    "puback 5.0 with a reason": (5, "40 03 0001 10", {"type": 4, "reason": 0x10}),
    "puback 5.0 with properties": (
        5,
        "40 0a 0001 80 06 1f 0003 626164",
        {"type": 4, "reason": 0x80},
    ),
    "pubrec": (4, "50 02 0001", {"type": 5}),
    "pubrel": (4, "62 02 0001", {"type": 6}),
    "pubcomp": (4, "70 02 0001", {"type": 7}),
    "subscribe": (4, "82 0a 000a 0001 61 00 0001 62 02", {"type": 8, "packet_id": 10}),
    "subscribe 5.0": (5, "82 09 000a 02 0b 05 0001 61 2c", {"type": 8}),
    "suback": (4, "90 04 000a 00 80", {"type": 9}),
    "suback 5.0": (5, "90 04 000a 00 01", {"type": 9}),
    "unsubscribe": (4, "a2 05 000a 0001 61", {"type": 10}),
    "unsubscribe 5.0": (5, "a2 06 000a 00 0001 61", {"type": 10}),
    "unsuback": (4, "b0 02 000a", {"type": 11}),
    "unsuback 5.0": (5, "b0 04 000a 00 11", {"type": 11}),
    "pingreq": (4, "c0 00", {"type": 12}),
    "pingresp": (4, "d0 00", {"type": 13}),
    "disconnect": (4, "e0 00", {"type": 14}),
    "disconnect 5.0": (5, "e0 07 04 05 11 0000000a", {"type": 14, "reason": 4}),
    "auth": (5, "f0 07 18 05 15 0002 4753", {"type": 15, "reason": 0x18}),
}

# version, bytes, Reason Code
BAD: dict[str, tuple[int, str, int]] = {
    "type 0": (4, "00 00", 0x81),
    "filter past the end": (4, "82 06 0001 ffff 61 00", 0x81),
    "length of five bytes": (4, "30 ffffffff01", 0x81),
    "length not the shortest": (4, "c0 8000", 0x81),
    "protocol name": (0, "10 0d 0004 4d515455 04 02 003c 0001 78", 0x84),
    "protocol level": (0, "10 0d 0004 4d515454 09 02 003c 0001 78", 0x84),
    "3.1 under the new name": (0, "10 0d 0004 4d515454 03 02 003c 0001 78", 0x84),
    "3.1.1 under the old name": (0, "10 0f 0006 4d5149736470 04 02 003c 0001 78", 0x84),
    "second connect": (4, "10 0d 0004 4d515454 04 02 003c 0001 78", 0x82),
    "connect reserved flag": (0, "10 0d 0004 4d515454 04 03 003c 0001 78", 0x81),
    "will qos 3": (0, "10 0d 0004 4d515454 04 1e 003c 0001 78", 0x81),
    "will qos without a will": (0, "10 0d 0004 4d515454 04 0a 003c 0001 78", 0x81),
    "will retain without a will": (0, "10 0d 0004 4d515454 04 22 003c 0001 78", 0x81),
    "password without a name in 3.1.1": (
        0,
        "10 10 0004 4d515454 04 42 003c 0001 78 0001 70",
        0x81,
    ),
    "will topic with a wildcard": (
        0,
        "10 12 0004 4d515454 04 06 003c 0001 78 0001 23 0000",
        0x90,
    ),
    "connect cut in a flag": (0, "10 06 0004 4d515454", 0x81),
    "connect with bytes behind": (0, "10 0e 0004 4d515454 04 02 003c 0001 78 00", 0x81),
    "authentication data without a method": (
        0,
        "10 12 0004 4d515454 05 02 003c 04 16 0001 61 0001 78",
        0x82,
    ),
    "receive maximum 0": (0, "10 11 0004 4d515454 05 02 003c 03 21 0000 0001 78", 0x82),
    "will property in connect": (
        0,
        "10 13 0004 4d515454 05 02 003c 05 18 00000001 0001 78",
        0x82,
    ),
    "connack flags": (4, "20 02 02 00", 0x81),
    "qos 3": (4, "36 05 0001 61 0001", 0x81),
    "response topic with a wildcard": (5, "30 08 0001 61 04 08 0001 23", 0x82),
    "puback id 0": (4, "40 02 0000", 0x82),
    "pubrel flags": (4, "60 02 0001", 0x81),
    "pingreq with a body": (4, "c0 01 00", 0x81),
    "disconnect flags": (4, "e1 00", 0x81),
    "auth in 3.1.1": (4, "f0 00", 0x82),
    "subscribe to nothing": (4, "82 02 0001", 0x82),
    "unsubscribe from nothing": (4, "a2 02 0001", 0x82),
    "no local on a shared subscription": (
        5,
        "82 10 0001 00 000a 2473686172652f672f61 04",
        0x82,
    ),
}
