/** How often somebody changed something from this page: answers from before may no longer be so. */
class Changes {
  count = $state(0);
}
export const changes = new Changes();
