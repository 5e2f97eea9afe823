/**
 * Waiting for something to have happened: whatever changes rings, whoever waits looks again.
 */

export class Bell {
  readonly #waiting = new Set<() => void>();

  ring(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Resolves at the next ring, or when the time is over. */
  next(withinMs = Infinity): Promise<void> {
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
      if (withinMs !== Infinity) timer = setTimeout(wake, withinMs);
    });
  }

  /** Waits until `isDone`, asked at every ring; false when the time is over before. */
  async until(isDone: () => boolean, limitMs = Infinity): Promise<boolean> {
    const deadline = performance.now() + limitMs;
    while (!isDone()) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return false;
      await this.next(leftMs);
    }
    return true;
  }
}
