// Package spool keeps records on disk between the moment a client is told "accepted" and the moment
// ClickHouse has them. It is append-only segment files in one directory, and nothing else.
//
//	Append --> shared buffer --> one committer: write, fsync, wake --> open segment
//	       --> one keeper: seal, close; the next file ahead --> sealed segment = one immutable batch
//	       --> Next, Done (internal/loader)
//
// This page is for whoever operates a spool or has to repair one. Every promise and every row of the fault table names
// the test that tries to break it. `beckon-collector spooldump FILE...` shows what a file holds.
//
// # Promises
//
//   - Append returns nil only when every entry is in a checksummed frame on the disk (SyncAlways), or in the
//     hands of the operating system (SyncOS, synced after 100 ms, or when the disk is done with what it has before that). An error means that none was accepted.
//     TestNobodyIsAnsweredBeforeTheSync, TestSlowFsyncsDelayAnswersAndNothingElse,
//     TestSyncOSAnswersAfterTheWriteAndSyncsInTheBackground, TestAFullDiskRefusesWholeCommitsAndResumes
//
//   - Sealing keeps nobody waiting: the next file is made ahead, and the full one is finished (SyncOS: synced) beside the
//     commits. Segments reach Next in the order of their numbers. While the disk is behind with that, segments
//     grow to their full size, and then commits wait: at most three are not sealed at once.
//     TestSealingKeepsNobodyWaiting, TestSegmentsThatWaitForTheKeeperAreFew, TestSealAnswersWhenTheBatchIsThere
//
//   - With SyncOS the power may take the end of one segment and leave records of the next, as it may take the middle of a
//     file and leave its end. Nothing of that was handed out: a batch reaches Next when it is synced, after those before it.
//     TestPowerLossWithTwoSegmentsUnsynced, TestSealingSyncsWhatItHandsOut
//
//   - A sealed segment never changes: the same BatchID always names the same records in the same order, less what the
//     disk has damaged, also after a crash. A restart seals what was open and never appends to it. Numbers are never used twice.
//     TestABatchIsTheSameAfterARestart, TestRecoverySyncsWhatItHandsOut, TestNumbersAreNeverUsedTwice
//
//   - Within the window (an hour, or the last 4 million ids if those are fewer) a repeated fingerprint is stored once,
//     across restarts too. A repeat never outruns its original: it waits for the commit that has it, and
//     shares its fate. An id that was refused is forgotten.
//     TestARestartForgetsNoIDOfTheLastHour, TestARepeatOfAnUncommittedEntrySharesItsFate,
//     TestARepeatOfAnUncommittedEntryAndACrashBetween, TestAnIDAnsweredFullIsForgottenAcrossACrashToo
//
//   - Damage costs the damaged frames only; what was thrown away is counted and its place is logged.
//     That holds at a start, and for a sealed segment while the process runs: the loader has it read again and goes on.
//     TestRecoveryKeepsWhatCanBeRead, TestRecoveryKeepsRecordsBeforeEveryCutOfTheLast,
//     TestABatchReadAgainIsWhatARestartWouldMakeOfIt, loader.TestDamageInASealedSegmentCostsItsRecordsOnly
//
//   - A segment leaves the disk only when Done is called for it, which the loader does after its row in `loads`.
//     loader.TestASegmentIsRemovedOnlyAfterItsLoadsRow
//
//   - Disk and memory are bounded, whatever ClickHouse and the clients do. A full disk, or one about to be, is ErrFull
//     until space returns; from 7/8 of the bound on Crowded says so, and the collector sheds. A failing disk ends acceptance.
//     TestTheSizeBoundRefusesWholeCalls, TestADiskThatFillsUpIsAFullSpoolBeforeAWriteFails,
//     TestCrowdedComesBeforeFullAndGoesAgain, TestCountsThatWaitForRoomAreBounded, TestAppendersWaitWhileTheDiskIsBehind,
//     TestAWindowOfFourMillionIDsTakes48MiB, TestIDsFilesAreBoundedByTheNumberOfIDs, TestAnIOErrorEndsAcceptanceAndIsNotRetried
//
//   - The ledger (who counted what, when) lives in the same commits as the records, so it closes across crashes.
//     TestALedgerIsKeptBySiteAndMinute, TestCountsAloneDoNotWaitAndAreSoonDurable
//
//   - A sealed segment that the disk does not give back holds up the others for half a minute. Then what can be read of it, block
//     by block, is loaded, the rest is counted as lost, and the file is kept as N.rejected.
//     TestWhatCanBeReadOfAnUnreadableSegmentIsKept, TestAReadThatMayPassIsNoUnreadableSegment,
//     loader.TestABatchThatCannotBeReadHoldsUpTheOthersForSomeTriesOnly
//
//   - A start tells of segments that are gone and were not loaded: numbers rise by one, and whatever is done leaves an ids
//     file, one of which stays below all that waits. So from there on each number has a file.
//     TestAStartTellsOfSegmentsThatAreMissing, TestNothingIsMissedWhereNothingIsMissing
//
// It does not replicate: a lost disk, or a segment that somebody deletes, loses the batches that were not loaded yet.
//
// # Assumptions
//
// Where one does not hold, the promises do not either.
//
//   - fsync of a file or of a directory returns when its content survives a power loss, or fails. A disk whose write
//     cache lies about that turns SyncAlways into SyncOS.
//   - Creating, renaming and removing a file is all or nothing, and durable after an fsync of the directory.
//   - Writing bytes over themselves leaves them as they are, also when the power goes in the middle.
//   - A read returns what was written, or other bytes: those are noticed by a checksum of 32 bits for each frame.
//   - flock keeps the processes of one machine apart. Two machines never share a directory.
//   - The directory never goes back in time: put back from a backup or a snapshot of the machine, it would use tokens again
//     that ClickHouse knows, for other records, and those would be lost. Move such a directory away.
//   - While a process runs, its clock may be set at will. Between a stop and the next start it must not jump ahead by the
//     window, or repeats of what was before are stored again; set back, ids are merely kept longer.
//   - Fingerprints are keyed hashes of 64 bits: among 4 million, a new id is taken for a repeat once in 4.6e12 times.
//
// # Files
//
// Names of numbered files are twenty digits and an extension. Numbers begin with 1 and rise by one for each
// segment, without gaps: one that was made and never begun leaves an ids file without ids at the next start.
//
//	spool       identity: holds the spool's id, and the lock. Never delete it while others are there: a missing or
//	            damaged one is made again from their headers.
//	N.segment   records and counters. Never delete one: it is acknowledged events. Done removes it. The one with the
//	            highest number is empty while it waits for its turn.
//	N.ids       what is left of a segment that is done, for repeats. Removed when the window has passed and nothing below waits. Deleting one by
//	            hand looks like a missing segment and costs the knowledge of its repeats; never delete the one with the highest number, which keeps that
//	            number from being used again. When no numbered file is left, the next start takes a new id.
//	N.rejected  set aside by recovery, or by the loader because it could not be read; never read again. Delete it when somebody has
//	            looked at it and a file with a higher number is there; the next starts may call it missing.
//	probe       made and removed by every start; may be deleted at any time.
//
// Other files are left alone and named in the log; dead-letter.jsonl is the loader's. A renamed segment is recognised by
// its header and works under any number; of two that say the same number, the one with the right name counts.
//
// # Bytes
//
// All numbers are little-endian. CRC32C is the Castagnoli polynomial, as in iSCSI. Times are Unix milliseconds. Format
// version 1; magic, version and checksum of the header keep their places in all versions, and a newer version is refused
// by name. Within version 1 nothing of this may change: testdata/golden-v1.segment is read for ever.
//
// Every file begins with a header of 48 bytes:
//
//	0   8   magic: "BKSPOOL\n" segment, "BKSPIDS\n" ids, "BKSPDIR\n" identity (nothing else is in it)
//	8   4   format version, 1
//	12  16  spool id
//	28  8   number of the segment; 0 in the identity
//	36  8   time of creation
//	44  4   CRC32C of bytes 0 to 43
//
// In a segment, frames follow without gaps. A frame has n + 20 bytes:
//
//	0     4  mark: FF 62 6B FE. FF occurs in no UTF-8 text, so a visitor cannot write one
//	4     8  sequence: 1 for the first frame of a segment, rising by 1
//	12    4  n, 1 to 1,048,576
//	16    n  body; its first byte is the kind
//	16+n  4  CRC32C of: spool id (16 bytes), number of the segment (8), then bytes 4 to 15+n of the frame
//
// A frame is good when mark and checksum are right and its sequence is above that of the good one before. A reader that
// meets anything else goes on at the next mark. So zeros, cuts, and blocks of other segments or spools never pass.
//
// Body of a record, kind 1:
//
//	0   1  kind
//	1   8  fingerprint; 0: never a duplicate
//	9   1  k
//	10  k  site
//	10+k   payload: an event (internal/event/record.go), or JSON in the aggregator's spool
//
// Body of a commit, kind 2. It closes the records of one group commit and carries its counters; a commit with more
// than 64 KiB of counters has several, one after the other:
//
//	0   1  kind
//	1   8  sequence of the first frame of this commit
//	9   8  time
//	17     lines: length of site (1 byte), site, minute since 1970 (uvarint), length of reason (1 byte), reason, count (uvarint)
//
// Body of a seal, kind 3. A segment without one (no room, crash) has the same records all the same:
//
//	0   1  kind
//	1   8  number of records in the segment
//	9   8  time
//
// Readers pass over kinds that they do not know. In an ids file the header is followed by:
//
//	48      8   time of the segment's last commit
//	56      4   m
//	60      8m  fingerprints
//	60+8m   4   CRC32C of all before
//
// # Faults
//
//	kill -9 at random times, under load              TestKill9LosesNothingAcknowledgedAndDoublesNothing
//	kill -9, power loss before every single operation TestACrashBeforeEveryOperationLosesAndDoublesNothing
//	power loss: unsynced bytes, names, removals go   TestPowerLossLosesNothingAcknowledgedAndDoublesNothing
//	cut, zeros, a flipped bit at every byte          TestRecoveryKeepsRecordsBeforeEveryCutOfTheLast
//	every bit of a frame, a frame in another place   TestEveryFlippedBitOfAFrameIsNoticed, TestAFramePassesOnlyInItsOwnPlace
//	zero-filled tail, garbage, stale and zeroed blocks TestRecoveryKeepsWhatCanBeRead
//	a flipped bit, a cut, nothing left, while it runs TestABatchReadAgainIsWhatARestartWouldMakeOfIt, loader.TestDamageInASealedSegmentCostsItsRecordsOnly
//	missing, empty, foreign segment                  TestRecoveryKeepsWhatCanBeRead, TestAStartTellsOfSegmentsThatAreMissing
//	copied, renamed, swapped segments                TestSegmentsUnderOtherNamesAreFoundByTheirHeaders
//	ids files stale, corrupt, missing                TestIDsFilesThatAreStaleOrMissingCostRepeatsAtMost
//	identity file corrupt, missing                   TestRecoveryKeepsWhatCanBeRead, TestOpenRefusesWhatItCannotRead
//	files that cannot be read (EIO), at a start      TestASegmentThatCannotBeReadStopsAStartAndNothingIsChanged
//	... or go, while it runs                         TestWhatCanBeReadOfAnUnreadableSegmentIsKept, loader.TestABatchThatCannotBeReadHoldsUpTheOthersForSomeTriesOnly
//	ENOSPC at every byte of a commit                 TestAFullDiskRefusesWholeCommitsAndResumes
//	... and a crash before it is taken back          TestAnIDAnsweredFullIsForgottenAcrossACrashToo
//	... and no room to give room back                TestASegmentIsRenamedDurablyBeforeItBecomesItsIDs
//	EIO on write, fsync, creation, directory         TestAnIOErrorEndsAcceptanceAndIsNotRetried
//	short write, no descriptors                      TestAWriteThatKeepsBytesToItselfIsNoSuccess, TestWantOfDescriptorsIsAFullSpoolNotAFailedOne
//	failing fsync: 503, not ready, exit status       collector.TestAFailingDiskEndsTheServiceWithAnErrorAndLosesNothing
//	... and pages that the kernel calls clean        TestWhatAFailedFsyncLeftInMemoryIsMadeDurableOrNotHandedOut
//	slow fsync                                       TestSlowFsyncsDelayAnswersAndNothingElse, TestAppendersWaitWhileTheDiskIsBehind
//	... of a segment that is sealed                  TestSealingKeepsNobodyWaiting, TestSegmentsThatWaitForTheKeeperAreFew
//	the file made ahead: kill, no room, EIO          TestASpareLeavesNoTrace, TestASpareForWhichThereIsNoRoomIsMadeByTheCommitThatNeedsIt, TestADiskThatFailsInTheBackgroundEndsAcceptance
//	power loss with two segments unsynced            TestPowerLossWithTwoSegmentsUnsynced
//	two processes, the lock of a dead one            TestASecondProcessIsRefusedAndTheLockOfADeadOneIsNot
//	clock set back or ahead by a day                 TestAClockThatIsSetLosesAndDoublesNothing
//	a disk that somebody else fills                  TestADiskThatFillsUpIsAFullSpoolBeforeAWriteFails, e2e.TestFullSpoolRefusesAndRecovers
//
// All are judged by one oracle (oracle_test.go) or by a list of what must be left: what was acknowledged is recovered,
// nothing is there twice, nothing is invented.
package spool
