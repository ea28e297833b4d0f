// Small plots, as SVG: a line over time with its ground filled, and the newest value in words.

const SVG = "http://www.w3.org/2000/svg";

function part(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A line of `values`, the newest at the right edge; `room` is how many there may be. */
export function plot(values, room, label, { width = 300, height = 64 } = {}) {
  const top = Math.max(1e-9, ...values);
  const step = width / Math.max(1, room - 1);
  const left = width - (values.length - 1) * step;
  const points = values.map(
    (value, index) => `${(left + index * step).toFixed(1)},${(height - 2 - (value / top) * (height - 6)).toFixed(1)}`,
  );
  const svg = part("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": label,
    class: "plot",
    preserveAspectRatio: "none",
  });
  svg.append(part("line", { x1: 0, x2: width, y1: height - 1.5, y2: height - 1.5, class: "axis" }));
  if (values.length > 1) {
    svg.append(
      part("polygon", {
        points: `${left.toFixed(1)},${height - 2} ${points.join(" ")} ${width},${height - 2}`,
        class: "ground",
      }),
    );
    svg.append(part("polyline", { points: points.join(" "), class: "curve" }));
  }
  return svg;
}
