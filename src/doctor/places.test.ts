import { access, type Case, files, testRows } from "./diagnosis_fixture.ts";
import { SOCKET } from "./doctor.ts";

const SOCKET_PLACE = "a directory in which the service's user may make its socket";
const ELSEWHERE =
  "sudo install -d -m 0750 -o lite3 /run/lite3rl (at every start: RuntimeDirectory=), " +
  "then --socket /run/lite3rl/policy.sock";

const ROWS: readonly Case[] = [
  [
    "the socket's directory is not there",
    "socket",
    ["healthy", {}, { socket: "/run/lite3rl/policy.sock" }],
    {
      state: "fails",
      found: "/run/lite3rl: there is none",
      needed: SOCKET_PLACE,
      mend: "sudo install -d -m 0750 -o lite3 /run/lite3rl (at every start: RuntimeDirectory=)",
    },
  ],
  [
    "the socket's directory is everybody's, and not there",
    "socket",
    ["healthy", access({ "/tmp": null })],
    {
      state: "fails",
      found: "/tmp: there is none",
      needed: SOCKET_PLACE,
      mend: ELSEWHERE,
    },
  ],
  [
    "the socket's directory is root's",
    "socket",
    ["healthy", {}, { socket: "/run/systemd/policy.sock" }],
    {
      state: "fails",
      found: "/run/systemd 0755 root:root",
      needed: SOCKET_PLACE,
      mend: ELSEWHERE,
    },
  ],
  [
    "another user left a socket there",
    "socket",
    ["healthy", access({ [SOCKET]: "socket 0600 root root" })],
    {
      state: "fails",
      found: `${SOCKET} 0600 root:root is another user's`,
      needed: "a free path",
      mend: `sudo rm ${SOCKET}`,
    },
  ],
  [
    "the user's own socket is there",
    "socket",
    ["healthy", access({ [SOCKET]: "socket 0600 lite3 lite3" })],
    { state: "ok", found: `${SOCKET}, in /tmp 1777 root:root` },
  ],
  [
    "the store is closed to the user",
    "model store",
    ["healthy", access({ "/opt/models": "directory 0700 root root" })],
    {
      state: "warning",
      found: "/opt/models 0700 root:root",
      needed: "models that the service may read",
      mend: "sudo chmod 0755 /opt/models",
    },
  ],
  [
    "chrony has the time",
    "clock",
    [
      "healthy",
      {
        files: { "/run/systemd/timesync/synchronized": null },
        access: { "/run/chrony": "directory 0750 root root" },
      },
    ],
    { state: "ok", found: "2026-11-03 06:13 UTC, chrony runs" },
  ],
  [
    "nothing is known of the time",
    "clock",
    ["healthy", files({ "/run/systemd/timesync/synchronized": null })],
    {
      state: "warning",
      found: "2026-11-03 06:13 UTC, not known to be synchronised",
      needed: "the network's time: logs and reports carry it",
      mend: "sudo timedatectl set-ntp true",
    },
  ],
];

testRows("checkPlaces()", ROWS);
