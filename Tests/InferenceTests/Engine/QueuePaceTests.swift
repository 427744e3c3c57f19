import Inference
import Testing

@Suite struct QueuePaceTests {
  @Test func anEmptyHistoryIsASecond() {
    #expect(QueuePace().wait(at: .now) == .seconds(1))
  }

  @Test func theMeanIntervalIsFollowed() {
    var pace = QueuePace()
    var now = ContinuousClock.now
    pace.left(1, at: now)
    for _ in 0..<10 {
      now += .seconds(6)
      pace.left(2, at: now)
    }
    #expect(abs(pace.wait(at: now) / .seconds(1) - 3) < 1e-6)
    // Recent ones count more.
    for _ in 0..<40 {
      now += .seconds(1)
      pace.left(1, at: now)
    }
    #expect(abs(pace.wait(at: now) / .seconds(1) - 1) < 0.05)
    // None at all says nothing.
    pace.left(0, at: now + .seconds(2))
    #expect(pace.wait(at: now + .seconds(9)) == .seconds(9))
  }
}
