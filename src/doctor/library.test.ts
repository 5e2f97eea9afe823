import type { Change } from "./machine_fixture.ts";
import { type Case, files, testRows } from "./diagnosis_fixture.ts";

const LIBRARY = {
  needed: "Rockchip's librknnrt.so for aarch64",
  mend: "lite3rl doctor --fix prints how to install it",
};

const library = (changed: object): Change => ({
  libraries: { "/usr/lib/librknnrt.so": { version: "2.3.2", functions: "all", ...changed } },
});

const ROWS: readonly Case[] = [
  [
    "the library is the pointer that a repository keeps in its place",
    "library",
    [
      "library_missing",
      files({ "/usr/lib/librknnrt.so": "version https://git-lfs.github.com/spec/v1\n" }),
    ],
    {
      state: "fails",
      found:
        '/usr/lib/librknnrt.so: it begins with "version https://git-lfs.github.com/spec/", ' +
        "need an ELF file",
      ...LIBRARY,
    },
  ],
  [
    "the library is for another machine",
    "library",
    ["healthy", library({ machine: "x86_64" })],
    { state: "fails", found: "/usr/lib/librknnrt.so, 2.3.2, for x86_64", ...LIBRARY },
  ],
  [
    "the library may not be read",
    "library",
    ["library_missing", files({ "/usr/lib/librknnrt.so": "denied" })],
    { state: "not checked", found: "/usr/lib/librknnrt.so: no permission to read it" },
  ],
  [
    "the library does not say its version",
    "library",
    ["healthy", library({ version: undefined })],
    {
      state: "warning",
      found: "/usr/lib/librknnrt.so, of unknown version",
      needed: "a librknnrt.so that says its version",
      mend: LIBRARY.mend,
    },
  ],
  [
    "the library that is named is not there",
    "library",
    ["healthy", {}, { library: "/opt/lib/librknnrt.so" }],
    { state: "fails", found: "/opt/lib/librknnrt.so: there is none", ...LIBRARY },
  ],
  [
    "the library lacks functions",
    "symbols",
    ["healthy", library({ functions: ["rknn_init", "rknn_run", "rknn_mem_sync"] })],
    {
      state: "fails",
      found:
        "it lacks rknn_destroy, rknn_query, rknn_inputs_set, rknn_outputs_get, " +
        "rknn_outputs_release, rknn_create_mem, rknn_destroy_mem, rknn_set_io_mem, " +
        "rknn_set_core_mask",
      needed: "the 11 functions that are called",
      mend: "install a newer librknnrt: lite3rl doctor --fix prints how",
    },
  ],
  [
    "the system is older than the library",
    "C libraries",
    [
      "healthy",
      library({ needs: { "libc.so.6": ["GLIBC_2.17", "GLIBC_2.38"], "libgcc_s.so.1": [] } }),
    ],
    {
      state: "fails",
      found: "it needs GLIBC_2.38 of libc.so.6, which this system's does not have",
      needed: "a system as new as the library: Ubuntu 20.04 or 22.04",
      mend: "sudo apt-get install libc6 libstdc++6, or install a librknnrt for this system",
    },
  ],
  [
    "a library that it needs is not where such are",
    "C libraries",
    ["healthy", library({ needs: { "libgcc_s.so.1": ["GCC_3.0"] } })],
    {
      state: "warning",
      found: "it needs libgcc_s.so.1, in none of the usual directories",
      needed: "them in /lib/aarch64-linux-gnu",
      mend: "sudo apt-get install libc6 libstdc++6, or install a librknnrt for this system",
    },
  ],
  [
    "a library that it needs may not be read",
    "C libraries",
    [
      "healthy",
      {
        files: { "/lib/aarch64-linux-gnu/libstdc++.so.6": "denied" },
        libraries: { "/lib/aarch64-linux-gnu/libstdc++.so.6": null },
      },
    ],
    { state: "not checked", found: "libstdc++.so.6: no permission to read it" },
  ],
];

testRows("checkLibrary()", ROWS);
