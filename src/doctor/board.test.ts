import { type Case, files, testRows } from "./diagnosis_fixture.ts";

const ROWS: readonly Case[] = [
  [
    "the kernel is old",
    "kernel",
    ["healthy", files({ "/proc/sys/kernel/osrelease": "4.19.232\n" })],
    {
      state: "warning",
      found: "4.19.232",
      needed: "5.10 or later",
      mend: "install the vendor's 5.10 image or later",
    },
  ],
  [
    "the kernel says no version",
    "kernel",
    ["healthy", files({ "/proc/sys/kernel/osrelease": "custom\n" })],
    { state: "not checked", found: "/proc/sys/kernel/osrelease does not say it" },
  ],
  [
    "little memory is left",
    "memory",
    ["healthy", files({ "/proc/meminfo": "MemTotal: 8078104 kB\nMemAvailable: 102400 kB\n" })],
    {
      state: "warning",
      found: "7889 MiB, of which 100 available",
      needed: "280 MiB available for the service",
      mend: "ps aux --sort=-rss | head",
    },
  ],
  [
    "the doctor is kept from the fast cores",
    "fast cores",
    ["healthy", files({ "/proc/self/status": "Cpus_allowed_list:\t0-3,6\n" })],
    {
      state: "warning",
      found: "4–7 are online, but the doctor may not use 4, 5, 7",
      needed: "the fast cores 4–7 for the service",
      mend: "set CPUAffinity=4-7 in the service's unit, and AllowedCPUs if its slice sets it",
    },
  ],
];

testRows("checkBoard()", ROWS);
