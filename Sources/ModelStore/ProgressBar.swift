import Glibc

/// Draws a fetch's progress on a terminal, or as a few plain lines where there is none.
public final class ProgressBar {
  private let descriptor: Int32
  private let isTerminal: Bool
  private let write: (String) -> Void
  private let now: () -> Double
  private var started: (time: Double, bytes: Int)?
  private var lastDrawn = -Double.infinity
  private var lastTenth = -1
  private var lastPhase: FetchProgress.Phase?

  /// A bar on standard error, or on another open descriptor.
  public convenience init(descriptor: Int32 = 2) {
    self.init(
      descriptor: descriptor, isTerminal: isatty(descriptor) == 1,
      now: {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
      },
      write: { text in
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      })
  }

  package init(
    descriptor: Int32, isTerminal: Bool, now: @escaping () -> Double,
    write: @escaping (String) -> Void
  ) {
    self.descriptor = descriptor
    self.isTerminal = isTerminal
    self.now = now
    self.write = write
  }

  /// Shows a state.
  public func update(_ progress: FetchProgress) {
    let changed = lastPhase != progress.phase
    defer { lastPhase = progress.phase }
    switch progress.phase {
    case .note(let text): line(text)
    case .waiting: if changed { line("waiting: another process is fetching \(progress.model)") }
    case .done: finish(progress)
    case .downloading, .verifying:
      let time = now()
      if changed { started = (time, progress.completed) }
      if isTerminal { draw(progress, time, changed) } else { tell(progress, changed) }
    }
  }

  private func line(_ text: String) { write((isTerminal ? "\r\u{1B}[K" : "") + text + "\n") }

  private func finish(_ progress: FetchProgress) {
    line("\(progress.model): ready, \(Self.bytes(progress.completed))")
  }

  private func verb(_ progress: FetchProgress) -> String {
    progress.phase == .verifying ? "checking" : "fetching"
  }

  /// A line for each tenth of the way.
  private func tell(_ progress: FetchProgress, _ changed: Bool) {
    let tenth = progress.total.map { $0 > 0 ? progress.completed * 10 / $0 : 0 } ?? 0
    guard changed || tenth != lastTenth else { return }
    lastTenth = tenth
    let total = progress.total.map { " of \(Self.bytes($0))" } ?? ""
    line("\(verb(progress)) \(progress.model): \(Self.bytes(progress.completed))\(total)")
  }

  /// One line drawn over itself, some ten times a second.
  private func draw(_ progress: FetchProgress, _ time: Double, _ changed: Bool) {
    let isEnd = progress.completed == progress.total
    guard changed || isEnd || time - lastDrawn >= 0.1 else { return }
    lastDrawn = time
    var text = "\r\u{1B}[K\(verb(progress)) \(progress.model) "
    if let total = progress.total, total > 0 {
      let cells = min(max(Int(24 * Double(progress.completed) / Double(total)), 0), 24)
      text += "[" + String(repeating: "#", count: cells)
      text += String(repeating: ".", count: 24 - cells) + "] "
      text += "\(Int(100 * Double(progress.completed) / Double(total))) % "
      text += "of \(Self.bytes(total))"
    } else {
      text += Self.bytes(progress.completed)
    }
    if let started, time - started.time > 0.5 {
      let rate = Double(progress.completed - started.bytes) / (time - started.time)
      text += ", \(Self.bytes(Int(rate)))/s"
      if let total = progress.total, rate > 0 {
        text += ", \(Int(Double(total - progress.completed) / rate + 0.5)) s left"
      }
    }
    write(text)
  }

  /// A count of bytes for people: 93.8 MiB.
  static func bytes(_ count: Int) -> String {
    guard count >= 1 << 20 else { return count >= 1 << 10 ? "\(count >> 10) KiB" : "\(count) B" }
    let tenths = Int(Double(count) / Double(1 << 20) * 10 + 0.5)
    return "\(tenths / 10).\(tenths % 10) MiB"
  }
}
