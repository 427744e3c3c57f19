import Foundation

/// Charts of throughput and of the time between tokens against the load, a line for each server.
struct LoadDrawing {
  let rows: [LoadRow]

  private let width = 460.0
  private let height = 300.0
  private let margin = 60.0
  private static let colours = ["#1b6ca8", "#d1495b", "#3a7d44", "#8a5a9e", "#c77d1e"]

  private struct Line {
    var name: String
    var colour: String
    var dashed = false
    var points: [(x: Double, y: Double)]
  }

  /// What tells a row's line from others.
  private func name(_ row: LoadRow) -> String {
    var name = row.server
    if Set(rows.map(\.workload)).count > 1 { name += ", \(row.workload)" }
    if Set(rows.map(\.choices)).count > 1 { name += ", n = \(row.choices)" }
    return name
  }

  /// Two charts side by side.
  var svg: String {
    let names = rows.map(name).reduce(into: [String]()) {
      if !$0.contains($1) { $0.append($1) }
    }
    func lines(_ suffix: String, dashed: Bool, _ value: (LoadRow) -> Double) -> [Line] {
      names.enumerated().map { i, own in
        Line(
          name: own + suffix, colour: Self.colours[i % Self.colours.count], dashed: dashed,
          points: rows.filter { name($0) == own }.sorted { $0.load < $1.load }
            .map { ($0.load, value($0)) })
      }
    }
    let full = 2 * (width + 2 * margin)
    return [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(text(full))\" "
        + "height=\"\(text(height + 2 * margin))\" font-family=\"sans-serif\" font-size=\"12\">",
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
      chart(
        "output tokens/s", lines("", dashed: false) { $0.outputTokensPerSecond }, left: margin),
      chart(
        "ms between tokens",
        lines(" median", dashed: false) { $0.itl.p50 } + lines(" p99", dashed: true) { $0.itl.p99 },
        left: width + 3 * margin),
      "</svg>",
    ].joined(separator: "\n") + "\n"
  }

  private func chart(_ title: String, _ lines: [Line], left: Double) -> String {
    let points = lines.flatMap(\.points)
    let right = max(points.map(\.x).max() ?? 1, 1e-9)
    let top = Self.roundUp(max(points.map(\.y).max() ?? 1, 1e-9))
    func place(_ point: (x: Double, y: Double)) -> String {
      "\(text(left + point.x / right * width)),\(text(margin + height - point.y / top * height))"
    }
    var result = [
      "<text x=\"\(text(left))\" y=\"\(text(margin - 12))\" font-weight=\"bold\">\(title)</text>",
      "<polyline fill=\"none\" stroke=\"black\" points=\"\(place((0, top))) \(place((0, 0))) "
        + "\(place((right, 0)))\"/>",
      "<text x=\"\(text(left + width))\" y=\"\(text(margin + height + 34))\" text-anchor=\"end\">"
        + (rows.first?.loadKind == "rate" ? "requests per second" : "requests under way")
        + "</text>",
    ]
    for step in 0...4 {
      let value = top * Double(step) / 4
      let y = margin + height - Double(step) / 4 * height
      result.append(
        "<line x1=\"\(text(left))\" x2=\"\(text(left + width))\" y1=\"\(text(y))\" "
          + "y2=\"\(text(y))\" stroke=\"#ddd\"/><text x=\"\(text(left - 6))\" "
          + "y=\"\(text(y + 4))\" text-anchor=\"end\">\(Self.number(value))</text>")
    }
    for load in Set(points.map(\.x)).sorted() {
      result.append(
        "<text x=\"\(text(left + load / right * width))\" y=\"\(text(margin + height + 16))\" "
          + "text-anchor=\"middle\">\(Self.number(load))</text>")
    }
    for (i, line) in lines.enumerated() {
      let dash = line.dashed ? " stroke-dasharray=\"5 3\"" : ""
      result.append(
        "<polyline fill=\"none\" stroke=\"\(line.colour)\" stroke-width=\"2\"\(dash) points=\""
          + line.points.map(place).joined(separator: " ") + "\"/>")
      for point in line.points {
        let centre = place(point).split(separator: ",")
        result.append(
          "<circle cx=\"\(centre[0])\" cy=\"\(centre[1])\" r=\"3\" fill=\"\(line.colour)\"/>")
      }
      let y = margin + 14 + Double(i) * 16
      result.append(
        "<line x1=\"\(text(left + 10))\" x2=\"\(text(left + 34))\" y1=\"\(text(y - 4))\" "
          + "y2=\"\(text(y - 4))\" stroke=\"\(line.colour)\" stroke-width=\"2\"\(dash)/>"
          + "<text x=\"\(text(left + 40))\" y=\"\(text(y))\">\(escaped(line.name))</text>")
    }
    return result.joined(separator: "\n")
  }

  /// The next number of one digit and 1, 2 or 5 that is not smaller.
  private static func roundUp(_ value: Double) -> Double {
    let scale = pow(10, floor(log10(value)))
    return ([1, 2, 5, 10].first { $0 * scale >= value } ?? 10) * scale
  }

  private func text(_ number: Double) -> String { String(format: "%.1f", number) }

  /// A number with at most two decimals.
  static func number(_ value: Double) -> String {
    String(format: "%.10g", (value * 100).rounded() / 100)
  }

  private func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
  }
}
