import { access, type Case, files, testRows } from "./diagnosis_fixture.ts";

const NODE = "reading and writing for the service's user";

const ROWS: readonly Case[] = [
  [
    "the driver has both kinds of node",
    "device node",
    ["healthy", access({ "/dev/rknpu": "character 0660 root video" })],
    { state: "ok", found: "/dev/rknpu 0660 root:video, /dev/dri/card1 0660 root:video" },
  ],
  [
    "the NPU's card names no driver, as with a module from outside of the kernel",
    "device node",
    ["healthy", files({ "/sys/class/drm/card1/device/uevent": "" })],
    { state: "ok", found: "/dev/dri/card1 0660 root:video" },
  ],
  [
    "there are more cards than the library looks at",
    "device node",
    [
      "healthy",
      {
        files: {
          "/sys/class/drm/card1/device/uevent": null,
          "/sys/class/drm/card16/device/uevent": "DRIVER=RKNPU\n",
        },
        access: { "/dev/dri/card16": "character 0660 root video" },
      },
    ],
    {
      state: "fails",
      found: "neither /dev/rknpu nor a DRM card of rknpu",
      needed: "a node of the driver",
      mend: "mend the driver first",
    },
  ],
  [
    "the user is not in the node's group",
    "permission",
    ["healthy", files({ "/etc/group": "root:x:0:\nvideo:x:44:anna\nlite3:x:998:\n" })],
    {
      state: "fails",
      found: "lite3 may not open /dev/dri/card1 (0660 root:video)",
      needed: NODE,
      mend: "sudo usermod -aG video lite3",
    },
  ],
  [
    "another user is named who may",
    "permission",
    ["healthy", {}, { user: "anna" }],
    { state: "ok", found: "anna may open /dev/dri/card1" },
  ],
  [
    "another user is named who may not pass the directory above",
    "permission",
    ["healthy", access({ "/dev/dri": "directory 0750 root root" }), { user: "anna" }],
    {
      state: "fails",
      found: "anna may not open /dev/dri/card1 (0660 root:video)",
      needed: NODE,
      mend: "ls -ld /dev /dev/dri: a directory above lets anna not through",
    },
  ],
  [
    "a user is named who is not there",
    "user",
    ["healthy", {}, { user: "lite3rl" }],
    {
      state: "fails",
      found: "lite3rl is not in /etc/passwd",
      needed: "the user who runs the service",
      mend: "sudo useradd --system --shell /usr/sbin/nologin lite3rl",
    },
  ],
  [
    "a user is named by number",
    "user",
    ["healthy", {}, { user: "998" }],
    { state: "ok", found: "lite3, in lite3, video" },
  ],
  [
    "a number is no user's",
    "user",
    ["healthy", {}, { user: "4711" }],
    {
      state: "fails",
      found: "no user of /etc/passwd has the number 4711",
      needed: "the user who runs the service",
      mend: "lite3rl doctor --user NAME",
    },
  ],
  [
    "root runs it",
    "user",
    ["healthy", {}, { user: "root" }],
    {
      state: "warning",
      found: "root, in root",
      needed: "a user without rights of its own: the service needs none",
      mend: "lite3rl doctor --user NAME",
    },
  ],
];

testRows("checkDevices()", ROWS);
