import Attention
import Testing

/// Algorithm 1's promises, over random batches.
@Suite struct ScheduleTests {
  private func randomTiles(_ seed: Int) -> [QueryTile] {
    var random = Random(UInt64(seed))
    return (0..<Int(random.next() % 60)).map { i in
      let skew = random.next() % 6 == 0 ? 5_000 : 300
      let first = Int(random.next() % 8) * 16
      let length = Int(random.next() % UInt64(skew))
      return QueryTile(
        request: Int32(i), firstRow: 0, rowCount: Int32(1 + random.next() % 64),
        kvFirst: Int32(first), kvEnd: Int32(first + length))
    }
  }

  private func schedule(_ tiles: [QueryTile], workers: Int) -> Schedule {
    let schedule = Schedule(workers: workers)
    for tile in tiles { schedule.add(tile) }
    schedule.distribute()
    return schedule
  }

  @Test(arguments: 0..<40, [1, 2, 3, 16, 264])
  func everyKeyOfEveryTileIsReadOnce(seed: Int, workers: Int) {
    let tiles = randomTiles(seed)
    let schedule = schedule(tiles, workers: workers)
    let items = (0..<workers).flatMap { schedule.items(of: $0) }
    for (number, tile) in tiles.enumerated() {
      let mine = items.filter { $0.tile == number }.sorted { $0.kvFirst < $1.kvFirst }
      #expect(mine.first?.kvFirst == tile.kvFirst)
      #expect(mine.last?.kvEnd == tile.kvEnd)
      for (a, b) in zip(mine, mine.dropFirst()) {
        #expect(a.kvEnd == b.kvFirst)
        #expect(b.kvFirst % 16 == 0)
      }
      for item in mine { #expect(Int(item.kvEnd - item.kvFirst) <= schedule.chunkBound) }
      let merge = schedule.allMerges.first { $0.tile == number }
      if mine.count == 1 {
        #expect(mine[0].partialRow == -1 && merge == nil)
      } else {
        #expect(merge?.count == Int32(mine.count))
        for (i, item) in mine.enumerated() {
          #expect(item.partialRow == (merge?.partialRow ?? -9) + Int32(i) * tile.rowCount)
        }
      }
    }
  }

  @Test(arguments: 0..<40, [1, 2, 3, 16, 264])
  func partialStatesStayWithinTheBound(seed: Int, workers: Int) {
    let tiles = randomTiles(seed)
    let schedule = schedule(tiles, workers: workers)
    #expect(schedule.partialCount <= 2 * workers)
    #expect(schedule.partialRows <= 2 * workers * 64)
    // Partial states do not overlap.
    var used = Set<Int32>()
    for item in (0..<workers).flatMap({ schedule.items(of: $0) }) where item.partialRow >= 0 {
      for row in item.partialRow..<item.partialRow + tiles[Int(item.tile)].rowCount {
        #expect(used.insert(row).inserted)
        #expect(row < schedule.partialRows)
      }
    }
  }

  /// Greedy assignment of sorted work: no queue exceeds the mean by more than its own last item.
  @Test(arguments: 0..<40, [2, 3, 16])
  func queuesAreBalanced(seed: Int, workers: Int) {
    let schedule = schedule(randomTiles(seed), workers: workers)
    let loads = (0..<workers).map { schedule.load(of: $0) }
    let items = (0..<workers).flatMap { schedule.items(of: $0) }
    let tiles = schedule.allTiles
    let largest =
      items.map {
        let rows = Int(tiles[Int($0.tile)].rowCount)
        return rows * 16 + Int($0.kvEnd - $0.kvFirst) * (7 + rows)
      }.max() ?? 0
    let mean = Double(loads.reduce(0, +)) / Double(workers)
    #expect(Double(loads.max() ?? 0) <= mean + Double(largest))
    #expect(loads.reduce(0, +) >= largest)
  }

  @Test func decodeOfEqualLengthsIsPerfectlyBalanced() {
    let tiles = (0..<16).map {
      QueryTile(request: $0, firstRow: 0, rowCount: 4, kvFirst: 0, kvEnd: 1_024)
    }
    let schedule = schedule(tiles, workers: 4)
    #expect(Set((0..<4).map { schedule.load(of: $0) }).count == 1)
    #expect(schedule.partialCount == 0)
  }

  @Test func oneLongRequestIsSpreadOverAllWorkers() {
    let tile = QueryTile(request: 0, firstRow: 0, rowCount: 4, kvFirst: 0, kvEnd: 8_192)
    let schedule = schedule([tile], workers: 8)
    for worker in 0..<8 { #expect(schedule.items(of: worker).count == 1) }
    #expect(schedule.partialCount == 8)
  }

  @Test func storageIsReusedBetweenBatches() {
    let schedule = Schedule(workers: 3)
    for seed in [3, 4, 3] {
      schedule.removeAllTiles()
      for tile in randomTiles(seed) { schedule.add(tile) }
      schedule.distribute()
    }
    let fresh = self.schedule(randomTiles(3), workers: 3)
    for worker in 0..<3 { #expect(schedule.items(of: worker) == fresh.items(of: worker)) }
  }
}
