import { expect, test } from "bun:test";
import { closeSync } from "node:fs";
import {
  COUNTER,
  COUNTERS,
  createPage,
  openPage,
  PAGE_TERMS,
  quantileOf,
  readPage,
  recordUs,
  STATES,
  WORD,
  writeLast,
} from "./page.ts";

const zeroCounters = Object.fromEntries(COUNTERS.map((name) => [name, 0]));

test("readPage() reads what another mapping of the page wrote", () => {
  const { page: reader, fd } = createPage();
  const writer = openPage(fd);
  closeSync(fd);
  writer.words[WORD.state] = STATES.indexOf("serving");
  writer.words[WORD.beat] = 7;
  writer.words[WORD.busySinceUs] = 1.5e12;
  writer.words[WORD.openConnections] = 3;
  writer.words[WORD.generation] = 2;
  writer.words[WORD.observationSize] = 2;
  writer.words[WORD.actionSize] = 1;
  writer.counters[COUNTER.requests] = 4;
  writer.outside[1] = 5;
  recordUs(writer.histograms.service, 12);
  writeLast(writer, Float32Array.of(0.5, -1), Float32Array.of(0.25));
  const { service, inference, ...rest } = readPage(reader);
  expect(rest).toEqual({
    state: "serving",
    beat: 7,
    busySinceUs: 1.5e12,
    openConnections: 3,
    generation: 2,
    counters: { ...zeroCounters, requests: 4 } as never,
    observation: Float32Array.of(0.5, -1),
    action: Float32Array.of(0.25),
    outside: Float64Array.of(0, 5),
  });
  expect([service.sumUs, service.count, inference.count]).toEqual([12, 1, 0]);
  writer.words[WORD.hasNpuTimes] = 1;
  expect(readPage(reader).run?.count).toBe(0);
  writer[Symbol.dispose]();
  reader[Symbol.dispose]();
});

test("writeLast() keeps the first terms of a vector that is wider than the page", () => {
  const { page, fd } = createPage();
  closeSync(fd);
  page.words[WORD.observationSize] = PAGE_TERMS + 1;
  page.words[WORD.actionSize] = 1;
  const wide = new Float32Array(PAGE_TERMS + 1).fill(3);
  writeLast(page, wide, Float32Array.of(1));
  const { observation, action } = readPage(page);
  expect([observation.length, observation.at(-1), action[0]]).toEqual([PAGE_TERMS, 3, 1]);
  page[Symbol.dispose]();
});

test("recordUs() counts a duration in the first bucket whose upper bound reaches it", () => {
  const { page, fd } = createPage();
  closeSync(fd);
  const histogram = page.histograms.inference;
  const durations = [0, 1, 1.1, 10, 10.01, 999, 1e7, 1.1e7];
  for (const us of durations) recordUs(histogram, us);
  const { bounds, counts, sumUs, count } = readPage(page).inference;
  const found = [...counts.entries()].flatMap(([i, n]) => (n > 0 ? [[bounds[i], n]] : []));
  expect(found.map(([bound, n]) => [Number(bound?.toPrecision(4)), n])).toEqual([
    [1, 2],
    [1.212, 1],
    [10, 1],
    [12.12, 1],
    [1000, 1],
    [1e7, 1],
    [Infinity, 1],
  ]);
  expect({ sumUs, count }).toEqual({
    sumUs: durations.reduce((sum, us) => sum + us, 0),
    count: durations.length,
  });
  page[Symbol.dispose]();
});

test("quantileOf() interpolates within a bucket, and is NaN of nothing", () => {
  const bounds = Float64Array.of(1, 2, 4, Infinity);
  const of = (...counts: number[]) => ({
    bounds,
    counts: Float64Array.from(counts),
    sumUs: 0,
    count: 0,
  });
  const histogram = of(0, 2, 2, 0);
  expect([0, 0.25, 0.5, 0.75, 1].map((q) => quantileOf(histogram, q))).toEqual([1, 1.5, 2, 3, 4]);
  expect(quantileOf(of(0, 0, 0, 1), 0.5)).toBe(4);
  expect(quantileOf(of(0, 0, 0, 0), 0.5)).toBeNaN();
});
