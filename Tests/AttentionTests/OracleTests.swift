import Attention
import Devices
import Tensors
import Testing

/// The engine against the dense Double reference, over odd sizes.
@Suite struct OracleTests {
  static let levels = InstructionSet.available

  @Test(arguments: levels, [40, 64, 80, 96, 128, 192, 256])
  func headDimensions(level: InstructionSet, dimension: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    for (i, group) in [1, 3, 5, 8].enumerated() {
      for (j, pageSize) in [1, 3, 16, 32].enumerated() {
        var scenario = Scenario()
        scenario.shape = AttentionShape(
          queryHeads: 2 * group, kvHeads: 2, headDimension: dimension)
        scenario.pageSize = pageSize
        scenario.elementType = [.float32, .bfloat16, .float16][(i + j) % 3]
        scenario.lengths = [(1, 1), (0, 7), (1, 0), (7, 7), (1, 60), (3, 35)]
        scenario.seed = UInt64(dimension * 100 + group * 10 + pageSize)
        try check(scenario, device)
      }
    }
  }

  @Test(arguments: levels, [1, 2, 7, 33])
  func oddDimensions(level: InstructionSet, dimension: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    for type in [ElementType.float32, .bfloat16, .float16] {
      for pageSize in [5, 16] {
        var scenario = Scenario()
        scenario.shape = AttentionShape(
          queryHeads: 3, kvHeads: 1, headDimension: dimension, valueDimension: dimension + 4)
        scenario.pageSize = pageSize
        scenario.elementType = type
        scenario.lengths = [(2, 40), (17, 50)]
        try check(scenario, device)
      }
    }
  }

  @Test(arguments: levels)
  func longRequests(level: InstructionSet) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    for (group, pageSize, type) in [
      (1, 16, ElementType.bfloat16), (3, 1, .float16), (8, 32, .bfloat16), (5, 3, .float32),
    ] {
      var scenario = Scenario()
      scenario.shape = AttentionShape(queryHeads: group, kvHeads: 1, headDimension: 64)
      scenario.pageSize = pageSize
      scenario.elementType = type
      scenario.lengths = [(1, 777), (777, 777), (0, 0), (40, 300), (1, 1)]
      try check(scenario, device, sample: 37)
    }
  }

  @Test(arguments: [ElementType.float32, .float16, .bfloat16, .float8E4M3])
  func manyWorkersMergePartialStates(type: ElementType) throws {
    let device = try CPUDevice(threads: 2)
    for workers in [1, 2, 5, 16] {
      var scenario = Scenario()
      scenario.elementType = type
      scenario.lengths = [(1, 777), (2, 300)]
      let material = try Scenario.Material(scenario, device)
      let result = try scenario.run(material, workers: workers)
      let error = try scenario.error(result, material, stored: true)
      #expect(error.output <= material.limit && error.lse <= 1e-5, "\(workers) workers: \(error)")
    }
  }

  /// Groups that do not divide a tile, and one that is taller than a tile.
  @Test(arguments: [100, 129, 300])
  func largeGroups(group: Int) throws {
    let device = try CPUDevice(threads: 2)
    for workers in [1, 5] {
      var scenario = Scenario()
      scenario.shape = AttentionShape(queryHeads: 2 * group, kvHeads: 2, headDimension: 16)
      scenario.lengths = [(3, 200), (1, 77)]
      let material = try Scenario.Material(scenario, device)
      let result = try scenario.run(material, workers: workers)
      let error = try scenario.error(result, material, stored: true, sample: 7)
      #expect(error.output <= material.limit && error.lse <= 1e-5, "\(workers) workers: \(error)")
    }
  }

  /// Against the stored values the error is that of f32 arithmetic; against the values as given it
  /// is that of the storage.
  private func check(_ scenario: Scenario, _ device: CPUDevice, sample: Int = 1) throws {
    let material = try Scenario.Material(scenario, device)
    let result = try scenario.run(material)
    let tight = try scenario.error(result, material, stored: true, sample: sample)
    #expect(tight.output <= material.limit && tight.lse <= 1e-5, "\(scenario): \(tight)")
    if scenario.elementType != .float32 {
      let loose = try scenario.error(result, material, stored: false, sample: sample * 5)
      #expect(
        loose.output <= 2 * material.limit || !material.rounds && loose.output <= 1e-2,
        "\(scenario): \(loose)")
    }
  }
}
