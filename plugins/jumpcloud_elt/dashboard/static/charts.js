// Draws the lines of [data-chart] with uPlot: days on the x axis, a gap where a day has not been read.
"use strict";
(() => {
  const HEIGHT = 260;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // uPlot paints on a canvas, which knows no light-dark().
  const resolved = (name) => {
    const probe = document.createElement("span");
    probe.className = "probe";
    probe.style.color = color(name);
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  };
  const NAMES = { Failures: "--series-failures", "Admin portal": "--series-3", "User portal": "--series-2", People: "--series-2" };
  const day = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);
  const drawn = new Map();

  const draw = (frame) => {
    drawn.get(frame)?.destroy();
    const { days, series } = JSON.parse(frame.dataset.chart);
    const grid = { stroke: resolved("--line"), width: 1 };
    const axis = { stroke: resolved("--muted"), grid, ticks: grid, font: "12px system-ui, sans-serif" };
    const lines = series.map(({ label }) => {
      const stroke = resolved(NAMES[label] ?? "--series-1");
      return {
        label,
        stroke,
        width: 1.75,
        dash: label === "Failures" ? [5, 4] : undefined,
        points: { show: days.length < 40, size: 5, fill: stroke },
        value: (_, value, __, index) => (index == null ? "" : value == null ? "unknown" : value.toLocaleString("en")),
      };
    });
    const options = {
      width: frame.clientWidth,
      height: HEIGHT,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { y: false, drag: { x: true, y: false } },
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high ?? 1) * 1.05] } },
      axes: [{ ...axis, space: 90, values: (_, seconds) => seconds.map(day) }, { ...axis, size: 56 }],
      series: [{ label: "Day", value: (_, seconds) => (seconds == null ? "" : day(seconds)) }, ...lines],
    };
    drawn.set(frame, new uPlot(options, [days, ...series.map(({ values }) => values)], frame));
  };

  const frames = [...document.querySelectorAll("[data-chart]")];
  frames.forEach(draw);
  document.addEventListener("theme", () => frames.forEach(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => frames.forEach(draw));
  for (const frame of frames) new ResizeObserver(() => {
    const chart = drawn.get(frame);
    if (chart && chart.width !== frame.clientWidth) chart.setSize({ width: frame.clientWidth, height: HEIGHT });
  }).observe(frame);
})();
