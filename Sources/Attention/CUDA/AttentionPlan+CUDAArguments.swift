package import Devices
package import Tensors

extension AttentionPlan {
  /// The planned batch as the kernel's arguments, with the addresses of this process.
  ///
  /// An emulated kernel runs with them as they are; a device has copies of the same sections.
  /// Queries, output, cache and the two counters are the caller's to fill in.
  package var cudaArguments: CUDAAttentionArguments {
    func address<T>(_ pointer: UnsafePointer<T>) -> UInt64 { UInt64(UInt(bitPattern: pointer)) }
    func address<T>(_ pointer: UnsafeMutablePointer<T>) -> UInt64 {
      UInt64(UInt(bitPattern: pointer))
    }
    var arguments = CUDAAttentionArguments()
    arguments.tiles = address(schedule.tiles.base)
    arguments.items = address(schedule.items.base)
    arguments.workerOffsets = address(schedule.workerOffsets.base)
    arguments.merges = address(schedule.merges.base)
    arguments.mergeStates = address(schedule.mergeStates.base)
    arguments.pageIndices = address(pageIndices.base)
    arguments.pagePositions = address(pagePositions.base)
    arguments.kvLengths = address(kvLengths.base)
    arguments.queryLengths = address(queryLengths.base)
    arguments.queryRows = address(queryRows.base)
    arguments.rowRequests = address(rowRequests.base)
    arguments.rowPositions = address(rowPositions.base)
    let data = parameters.data
    arguments.perHead = address(data.perHead)
    arguments.tensors = address(data.tensors)
    arguments.masks = address(data.masks)
    arguments.tokenOffsets = address(data.tokenOffsets)
    arguments.queryOffsets = address(data.queryOffsets)
    arguments.partialOutput = address(workspace.partialOutput)
    arguments.partialLSE = address(workspace.partialLSE)
    arguments.setPageSize(pageSize)
    return arguments
  }

  /// The merges of the planned batch.
  package var mergeCount: Int { schedule.merges.count }

  /// The kernel for this plan's shape, variant and bound data.
  package func cudaKernel(
    queryType: ElementType, storedType: ElementType, tile: CUDAAttentionKernel.Tile,
    architecture: CUDAArchitecture
  ) throws(CUDAAttentionKernel.Unsupported) -> CUDAAttentionKernel {
    try CUDAAttentionKernel(
      shape: shape, variant: variant, queryType: queryType, storedType: storedType, tile: tile,
      architecture: architecture, bound: parameters.bound)
  }
}
