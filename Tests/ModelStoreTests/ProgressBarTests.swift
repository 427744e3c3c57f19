import ModelStore
import Testing

@Suite struct ProgressBarTests {
  private final class Screen {
    var text = ""
    var time = 0.0
  }

  private func bar(_ screen: Screen, isTerminal: Bool) -> ProgressBar {
    ProgressBar(
      descriptor: -1, isTerminal: isTerminal, now: { screen.time }, write: { screen.text += $0 })
  }

  private func state(_ phase: FetchProgress.Phase, _ mebibytes: Int) -> FetchProgress {
    FetchProgress(model: "m", phase: phase, completed: mebibytes << 20, total: 100 << 20)
  }

  @Test func aPipeGetsALineForEachTenth() {
    let screen = Screen()
    let bar = bar(screen, isTerminal: false)
    for i in 0...100 { bar.update(state(.downloading, i)) }
    bar.update(state(.done, 100))
    let lines = screen.text.split(separator: "\n")
    #expect(lines.count == 12)
    #expect(lines[0] == "fetching m: 0 B of 100.0 MiB")
    #expect(lines[11] == "m: ready, 100.0 MiB")
    #expect(!screen.text.contains("\r"))
  }

  @Test func aTerminalIsDrawnTenTimesASecond() {
    let screen = Screen()
    let bar = bar(screen, isTerminal: true)
    for i in 0...1000 {
      screen.time = Double(i) * 0.01
      bar.update(state(.downloading, i / 11))
    }
    let frames = screen.text.split(separator: "\r")
    #expect((90...110).contains(frames.count))
    #expect(frames.last?.contains("% of 100.0 MiB, 9.") == true)
    #expect(!screen.text.contains("\n"))
  }

  @Test func notesStandOnLinesOfTheirOwn() {
    let screen = Screen()
    let bar = bar(screen, isTerminal: false)
    bar.update(state(.note("installing"), 0))
    bar.update(state(.waiting, 0))
    bar.update(state(.waiting, 0))
    #expect(screen.text == "installing\nwaiting: another process is fetching m\n")
  }
}
