import { expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { createPage, readPage } from "../service/page.ts";
import { ServiceTimes } from "./service_times.ts";

test("ServiceTimes counts every answer of a turn until that turn was sent", () => {
  const { page: opened, fd } = createPage();
  closeSync(fd);
  using page = opened;
  const times = new ServiceTimes(page.histograms.service);
  for (let turn = 0; turn < 2; turn++) {
    times.answered(100);
    times.answered(130);
    times.sent(150);
    times.sent(1_000);
  }
  const { count, sumUs } = readPage(page).service;
  expect({ count, sumUs, unsent: times.unsent }).toEqual({ count: 4, sumUs: 140, unsent: 0 });
  for (let i = 0; i < 256; i++) times.answered(0);
  expect(times.isFull).toBe(true);
});
