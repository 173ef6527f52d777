/** Round steps of an axis from nought that reaches over the greatest value. */
export function ticks(greatest: number, most = 4): number[] {
  if (!(greatest > 0)) return [0];
  const rough = greatest / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step =
    [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= rough) ?? rough;
  const found: number[] = [];
  for (let at = 0; at <= greatest + step * 1e-9; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

/** Which of so many labels have room, each so many pixels wide. */
export function every(count: number, width: number, label: number): number {
  if (count < 2) return 1;
  const fitting = Math.max(1, Math.floor(width / label));
  const rough = Math.ceil(count / fitting);
  return (
    [1, 2, 3, 5, 7, 10, 14, 15, 20, 30, 50, 60, 100, 200, 500].find((step) => step >= rough) ??
    rough
  );
}
