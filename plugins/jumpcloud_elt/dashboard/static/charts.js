// Draws [data-chart] with uPlot: days on the x axis; a day that has not been read is hatched, and never a 0.
"use strict";
(() => {
  const HALF_A_DAY = 43200;
  const resolved = (name) => {
    // uPlot paints on a canvas, which knows no light-dark().
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  };
  const COLOURS = { Failures: "--series-failures", "Admin portal": "--series-3", "User portal": "--series-2", People: "--series-3" };
  const said = (seconds, parts) => new Date(seconds * 1000).toLocaleDateString("en-GB", { timeZone: "UTC", ...parts });
  const day = (seconds) => said(seconds, { day: "numeric", month: "short" });
  const month = (seconds) => said(seconds, { month: "short", year: "numeric" });
  const drawn = new Map();

  // For each run of days of which nothing is known.
  const hatch = (chart) => {
    for (const gap of chart.over.querySelectorAll(".unread")) gap.remove();
    const [days, ...series] = chart.data;
    const isRead = (index) => series.some((values) => values[index] != null);
    for (let first = 0; first < days.length; first++) {
      if (isRead(first)) continue;
      let last = first;
      while (last + 1 < days.length && !isRead(last + 1)) last++;
      const left = chart.valToPos(days[first] - HALF_A_DAY, "x");
      const width = chart.valToPos(days[last] + HALF_A_DAY, "x") - left;
      const gap = document.createElement("div");
      gap.className = "unread";
      gap.style.left = `${left}px`;
      gap.style.width = `${width}px`;
      if (width > 70) gap.textContent = "not read";
      chart.over.prepend(gap);
      first = last;
    }
  };

  const draw = (frame) => {
    drawn.get(frame)?.destroy();
    const { days, series, bars, height } = JSON.parse(frame.dataset.chart);
    const grid = { stroke: resolved("--line"), width: 1 };
    const axis = { stroke: resolved("--muted"), grid, ticks: grid, font: "12px system-ui, sans-serif" };
    const lines = series.map(({ label }) => {
      const isBar = label === bars;
      const stroke = resolved(isBar ? "--level-2" : (COLOURS[label] ?? "--series-1"));
      return {
        label,
        stroke,
        fill: isBar ? stroke : undefined,
        paths: isBar ? uPlot.paths.bars({ size: [0.7, 36] }) : undefined,
        width: isBar ? 0 : 1.75,
        dash: label === "Failures" ? [5, 4] : undefined,
        points: { show: !isBar && days.length < 40, size: 5, fill: stroke },
        value: (_, value, __, index) => (index == null ? "" : value == null ? "not read" : value.toLocaleString("en")),
      };
    });
    const options = {
      width: frame.clientWidth,
      height,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: { y: false, drag: { x: true, y: false } },
      scales: {
        x: { range: (_, low, high) => [low - HALF_A_DAY, high + HALF_A_DAY] },
        y: { range: (_, low, high) => [0, Math.max(1, high ?? 1) * 1.05] },
      },
      axes: [
        { ...axis, size: 34, space: 70, incrs: [1, 2, 7, 14, 30, 91, 182, 365].map((one) => one * 86400),
          values: (_, ticks, __, ___, step) => ticks.map(step < 28 * 86400 ? day : month) },
        { ...axis, size: 50, space: 28, incrs: [1, 2, 5, 10, 20, 50].flatMap((one) => [one, one * 1e2, one * 1e4, one * 1e6]).sort((a, b) => a - b) },
      ],
      hooks: {
        draw: [hatch],
        // Without a day pointed at the legend has names only.
        setCursor: [(chart) => frame.classList.toggle("pointed", chart.cursor.idx != null && chart.cursor.left >= 0)],
      },
      series: [{ label: "Day", value: (_, seconds) => (seconds == null ? "" : `${day(seconds)} ${said(seconds, { year: "numeric" })}`) }, ...lines],
    };
    drawn.set(frame, new uPlot(options, [days, ...series.map(({ values }) => values)], frame));
  };

  const frames = [...document.querySelectorAll("[data-chart]")];
  frames.forEach(draw);
  document.addEventListener("theme", () => frames.forEach(draw));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => frames.forEach(draw));
  for (const frame of frames) new ResizeObserver(() => {
    const chart = drawn.get(frame);
    if (chart && chart.width !== frame.clientWidth) chart.setSize({ width: frame.clientWidth, height: chart.height });
  }).observe(frame);
})();
